import { type Kinds, ROLES, USERS } from './kind.ts';

/* Policies that lean on one part of the language each. */

export const languageKinds: Kinds = {
  defaults: (random) => ({
    inputs: [{ a: 1, b: false }, { a: null }, { b: true, c: 'x' }, {}],
    rego: `
default level := ${random.pick(['0', '"none"', 'null', '{"n": [1, {2}]}', '[x | some x in [1, 2]]'])}

level := input.a if input.b

default seen(_) := "unseen"

seen(x) := "seen" if x == input.c

checks := [seen("x"), seen(input.a), seen(${random.pick(['null', '[1]', 'input.b'])})]

default flags := {}

flags := {"b": input.b} if input.a == ${random.pick(['1', 'null'])}

default allow := ${random.pick(['false', 'true'])}

allow if not input.${random.pick(['a', 'b', 'c'])}

undefined := input.zz

given := {k | some k; input[k]}

negative if not not_given

not_given if not input.a`,
  }),

  else_chains: (random) => ({
    wrapped: true,
    inputs: [{ score: 95, vip: true }, { score: 50 }, { score: 10, vip: false }, { score: '95' }],
    rego: `
tier := "gold" if {
	input.vip
	input.score > ${80 + random.int(15)}
} else := "silver" if {
	input.score > ${20 + random.int(40)}
} else := "bronze" if {
	input.score
	not input.vip
} else := ${random.pick(['"none"', 'input', 'null'])}

grade(n) := "A" if n >= 90
else := "B" if n >= 50
else := grade_low(n)

grade_low(n) := concat("", ["C", format_int(n, 10)])

grades := [grade(n) | some n in [input.score, 91, 50, ${random.int(50)}]]

first if input.vip
else := false if input.score < ${random.pick(['20', '60'])}

two := 1 if input.score == 95
else := 2 if input.score == 50

shadow := x if {
	x := [1 | input.vip]
	count(x) == ${random.int(2)}
} else := y if {
	some y in [[], {}, "last"]
	y == ${random.pick(['"last"', '{}'])}
}`,
  }),

  withs: (random) => ({
    data: { mode: 'strict', limits: { a: 1, b: { c: 2 } } },
    inputs: [{ n: 1, user: 'ann' }, { n: 5, user: { name: 'bob' } }, { n: null }, {}],
    rego: `
over if input.n > D.limits.a

relaxed if over with D.limits.a as ${random.pick(['0', '-1', '10'])}

simulated := [n | some n in [0, 1, 2, 3]; over with input.n as n]

as_bob := x if x := user with input.user as {"name": "bob"}

user := input.user.name

user := input.user if is_string(input.user)

replaced := x if x := input with input as {"n": ${random.pick(['1', '[input.n]', 'input'])}}

deep := x if x := D with D.limits.b.${random.pick(['c', 'd'])} as input.n

both if {
	over with input.n as 7 with D.limits as {"a": 6}
	not over with input as {}
}

mode := x if x := D.mode with data.d as {}

gone := x if x := count(data.d) with data.d as {"x": 1}

in_rule := x if x := over with over as ${random.pick(['false', '"x"', 'true'])}

function(x) := x + 1

mocked := x if x := function(1) with function as ${random.pick(['plus_ten', '42'])}

plus_ten(x) := x + 10

builtin := x if x := count([1, 2, 3]) with count as ${random.pick(['0', 'plus_len'])}

plus_len(_) := "mocked"

nested := x if x := [relaxed, simulated] with input.n as 2`,
  }),

  partials: (random) => ({
    data: { rows: USERS.slice(0, 4).map((user, index) => ({ user, role: random.pick(ROLES), n: index % 2 })) },
    inputs: [{ role: 'admin', n: 1 }, { role: random.pick(ROLES), n: 0 }, { n: 'x' }, { role: ['admin'] }],
    rego: `
users contains row.user if some row in D.rows

by_role[row.role] contains row.user if some row in D.rows

by_user[row.user] := row.role if some row in D.rows

nested[row.role][row.user] := row.n if some row in D.rows

nested.fixed.${random.pick(['a', 'b'])} := ${random.pick(['1', 'input.n', '"x"'])}

deep[a].${random.pick(['x', 'y'])}[b] contains c if {
	some row in D.rows
	a := row.n
	b := row.role
	c := row.user
}

flags[user] if {
	some user in users
	by_user[user] == input.role
}

chosen := by_role[input.role]

matching := [user | some user; nested[input.role][user] == input.n]

exists if by_user[${random.pick(['"ann"', 'input.user', '_'])}] == input.role

mixed contains x if some x in [1, "a", input.n, {input.n}]

mixed contains input.role

objects contains {"role": role, "users": list} if {
	some role, members in by_role
	list := ${random.pick(['sort(members)', '[m | some m in members]', 'members'])}
}

constant.a := 1

constant["b-c"] := 2

constant[input.n] := ${random.pick(['3', '"three"'])}`,
  }),

  comprehensions: (random) => ({
    data: { m: [[1, 2], [3, 4], [5]], o: { a: { x: 1 }, b: { x: 2, y: 3 }, c: {} } },
    inputs: [{ min: 2, keys: ['a', 'b'] }, { min: 0, keys: [] }, { min: 99, keys: ['zz'] }, { keys: { k: 'b' } }],
    rego: `
flat := [x | some row in D.m; some x in row; x >= input.min]

grid := [[twice | some x in row; twice := x * 2] | some row in D.m]

set := {rest | some row in D.m; some x in row; rest := x % ${2 + random.int(3)}}

object := {k: {j: v | some j, v in o} | some k, o in D.o; k in input.keys}

by_size := {n: names | some o in D.o; n := count(o); names := {k | some k, p in D.o; count(p) == n}}

closure := [y | some x in [1, 2, 3]; y := [z | some z in numbers.range(1, x); z ${random.pick(['>', '!='])} ${random.int(3)}]]

cross := {[a, b] | some a in input.keys; some b, _ in D.o; a != b}

empty := [[], {1 | false}, {k: 1 | some k in []}]

counted := count({k | some k; D.o[k].${random.pick(['x', 'y'])} >= input.min})

bound := {k: D.o[k].x | some k in input.keys}

every_row := [i | some i, row in D.m; every x in row { x >= input.min }]

with_else := [f(x) | some x in flat]

f(x) := "even" if x % 2 == 0
else := "odd"`,
  }),

  every_and_some: (random) => ({
    data: { need: { a: 1, b: 2 } },
    inputs: [
      { have: { a: 1, b: 3 }, list: [1, 2, 3] },
      { have: {}, list: [] },
      { have: { a: 0 }, list: [[1], 'x'] },
      { have: 'text', list: { k: 2 } },
    ],
    rego: `
enough if every key, need in D.need { input.have[key] >= need }

nested if {
	every x in input.list {
		some y in [1, 2, 3, "x"]
		${random.pick(['x == y', 'x >= y', 'not x == y'])}
	}
}

vacuous if every x in [] { x == input }

some_key contains k if some k, ${random.int(3)} in input.have

pairs contains [k, v] if some k, v in input.list

patterns := [n | some [n] in input.list]

literal := [v | some ${random.pick(['"a"', '0', '1'])}, v in ${random.pick(['input.have', 'input.list'])}]

member := [1 in input.list, "x" in input.list, (0, 2 in input.list)]

none if not some_big

some_big if {
	some x in input.list
	x > ${random.int(4)}
}

lacking := sort([key | some key, _ in D.need; not input.have[key]])

all_set if every x in {1, 2} { x in input.list }`,
  }),

  functions: (random) => ({
    wrapped: true,
    data: { table: { a: { cost: 1 }, b: { cost: 2.5 } } },
    inputs: [
      { x: 3, kind: 'a' },
      { x: [1, 2], kind: 'b' },
      { x: { n: 1, m: 2 }, kind: 'c' },
      { x: '', kind: null },
    ],
    rego: `
area([w, h]) := w * h

area({"n": n, "m": m}) := n + m

area(x) := x * x if {
	is_number(x)
	x < 1000000
}

result := area(input.x)

describe("a") := "letter a"

describe("b") := "letter b"

describe(x) := sprintf("other %v", [x]) if not x in {"a", "b"}

text := describe(input.kind)

cost(kind, factor) := D.table[kind].cost * factor

costs := [c | some kind in ["a", "b", input.kind]; c := cost(kind, ${random.pick(['2', '0.1', 'input.x'])})]

valid(x) if x != ""

valid_one if valid(input.x)

same(x, x_again) if x == x_again

same_kind if same(input.kind, ${random.pick(['"a"', 'null', 'input.kind'])})

no_args := input.kind

called := no_args

fib(0) := 0

twice(x) := compose(compose(x))

compose(x) := {"in": x}

chained := twice(input.${random.pick(['x', 'kind'])}).in.in

output if area(input.x, ${random.pick(['9', '2', '3'])})`,
  }),

  unification: (random) => ({
    data: {
      pairs: [
        [1, 'a'],
        [2, 'b'],
        [1, 'c'],
      ],
    },
    inputs: [
      { p: [1, 'a'], o: { k: { v: [1, 2] } } },
      { p: ['b', 2], o: { k: { v: [] } } },
      { p: [1], o: { k: 'flat' } },
      { p: 'no', o: {} },
    ],
    rego: `
swap := [b, a] if [a, b] = input.p

first := v if {"k": {"v": [v, _]}} = input.o

joined := {y | [x, y] = D.pairs[_]; x = input.p[0]}

both if {
	[x, ${random.pick(['"a"', 'x', '2'])}] = input.p
	x = ${random.pick(['1', 'input.p[0]', '"b"'])}
}

deep := z if {
	[[x, y], z] = [input.p, {x: y}]
}

indices := [i | D.pairs[i] = input.p]

keys contains k if input.o[k] = {"v": ${random.pick(['[]', '[1, 2]', '[_, 2]'])}}

rows contains [i, j] if {
	D.pairs[i][0] == D.pairs[j][0]
	i < j
}

anything contains [k, v] if v = input[k]

constants if [1, {"a": [2]}] = [1, {"a": [${random.pick(['2', '3', 'input.p[0]'])}]}]

chain := c if {
	a = input.p
	b = a
	c = [b, a]
}`,
  }),

  conflicts: (random) => ({
    data: {
      rows: [
        { k: 'a', v: 1 },
        { k: 'b', v: 2 },
        { k: 'a', v: random.pick([1, 3]) },
      ],
    },
    inputs: [{ n: 1, m: 1 }, { n: 1, m: 2 }, { n: 2 }, {}],
    rego: `
value := input.n

value := input.m

${random.pick(['object[row.k] := row.v if some row in D.rows', 'object := {row.k: row.v | some row in D.rows; row.v < 3 + input.n}', 'f(x) := x\n\nf(x) := input.m\n\nobject := f(1)'])}`,
  }),
};
