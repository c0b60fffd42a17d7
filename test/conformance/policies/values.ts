import { digits, type Kinds, USERS } from './kind.ts';

/* Policies that compute with documents: objects, arrays, sets, sums. */

export const valueKinds: Kinds = {
  object_tools: (random) => ({
    data: { base: { a: { b: 1, c: [1, 2] }, list: [1], on: false }, extra: { a: { b: { d: 2 } }, on: true } },
    inputs: [
      { doc: { a: { b: 7, x: null }, new: 'n' }, keys: ['a', 'on'] },
      { doc: {}, keys: [] },
      { doc: { a: 'flat', list: { 0: 'z' } }, keys: ['zz', 'list'] },
      { doc: [1, 2], keys: 'a' },
    ],
    rego: `
merged := object.union(D.base, input.doc)

all := object.union_n([D.base, input.doc, D.extra])

got := object.get(input.doc, ${random.pick(['"a"', '["a", "b"]', '[]', '["list", 0]'])}, ${random.pick(['"none"', 'null', 'D.base'])})

without := object.remove(merged, input.keys)

only := object.filter(D.base, input.keys)

paths := [key | some key in input.keys; not key in ["", []]]

keys := object.keys(input.doc)

names := {k | some k, _ in input.doc}

inverted := {v: k | some k, v in input.doc; is_string(v)}

sub if object.subset(D.base, ${random.pick(['input.doc', '{"on": false}', '{"a": {"b": 1}}'])})

picked := json.filter(D.base, ${random.pick(['["a/c/0", "on"]', '["a/b"]', 'paths', '[["a", "c", "1"], "list"]'])})

removed := json.remove(D.base, ${random.pick(['["a/c/0", "on"]', '["a/b", "zz"]', 'paths'])})

patched := json.patch(D.base, [
	{"op": "${random.pick(['add', 'replace'])}", "path": "/a/b", "value": input.doc},
	{"op": "remove", "path": "/list/${random.int(2)}"},
])

moved := json.patch(input.doc, [{"op": "${random.pick(['move', 'copy'])}", "from": "/a", "path": "/z"}])`,
  }),

  walks: (random) => ({
    data: { words: ['secret', 'password', 'token'], mask: random.pick(['***', null, 0]) },
    inputs: [
      { body: { user: 'ann', password: 'x', deep: [{ token: 1 }, { ok: true }] } },
      { body: { list: [1, 2.5, 'secret', ['secret']], secret: {} } },
      { body: 'secret' },
      { body: { '': { '/': [] } } },
    ],
    rego: `
paths := sort([path | walk(input.body, [path, _])])

leaves contains concat(".", [sprintf("%v", [p]) | some p in path]) if {
	walk(input.body, [path, value])
	not is_object(value)
	not is_array(value)
}

exposed contains path if {
	walk(input.body, [path, ${random.pick(['_', 'value'])}])
	path[count(path) - 1] in D.words
}

numbers := sum([n | walk(input.body, [_, n]); is_number(n); n < 1000])

masked := json.patch(input.body, [{"op": "replace", "path": path, "value": D.mask} |
	some path in sort(exposed)
	${random.pick(['true', 'count(path) > 1', 'is_string(path[0])'])}
])

deepest := max([count(path) | some path in paths])

types := {type_name(value) | walk(input.body, [_, value])}

found if {
	some path, value
	walk(input.body, [path, value])
	value == ${random.pick(['"secret"', 'true', '[]', '{}'])}
}`,
  }),

  aggregates: (random) => ({
    data: { weights: { a: 1, b: 2.5, c: 10 } },
    inputs: [
      {
        items: [
          { k: 'a', n: 2 },
          { k: 'c', n: 1 },
          { k: 'a', n: 0.5 },
        ],
      },
      { items: [] },
      { items: [{ k: 'b', n: digits('9007199254740995') }] },
      { items: [{ k: 'a', n: '1' }, { k: 'zz', n: 1 }, { n: null }] },
    ],
    rego: `
total := sum([cost | some item in input.items; cost := item.n * D.weights[item.k]])

by_key[k] := ${random.pick(['sum', 'max', 'count', 'product'])}([item.n | some item in input.items; item.k == k]) if some k, _ in D.weights

seen contains item.k if some item in input.items

most := max({n | n := input.items[_].n})

least := min([item.n | some item in input.items])

sorted := sort([[item.n, item.k] | some item in input.items])

average := total / 4 if total < 1000000

any_big if {
	some item in input.items
	item.n > ${random.pick(['1', '1e3', '0.5'])}
}

histogram := {k: n | some k in seen; n := count([1 | input.items[_].k == k])}

numbered := [{"i": i, "k": item.k} | some i, item in input.items; i % 2 == ${random.int(2)}]

allow if total <= ${random.pick(['10', '12', '100.5'])}`,
  }),

  set_arithmetic: (random) => ({
    data: { a: random.some(USERS, 3), b: random.some(USERS, 4), n: [1, 2, 3.5] },
    inputs: [
      { set: ['ann', 'bob', 1] },
      { set: [] },
      { set: [[1], [1], { x: 1 }, null, true, 2, 1.0] },
      { set: 'ann' },
    ],
    rego: `
mine := {x | some x in input.set}

a := {x | some x in D.a}

b := {x | some x in D.b}

results := [mine | a, mine & b, (a | b) - mine, a - (b - mine)]

every_of := intersection({mine, a, ${random.pick(['b', 'a', 'mine'])}})

any_of := union({mine, ${random.pick(['a', 'b', 'set()'])}, {${random.pick(['1', '"x"', 'null'])}}})

nested := {mine, a, {a}, [mine]}

subset if mine & a == mine

powers contains {x, y} if {
	some x in mine
	some y in ${random.pick(['a', 'b', 'mine'])}
}

has := [x | some x in mine; x in b]

sorted := sort(mine ${random.pick(['|', '-'])} {3, "z", null, [0], false})

sizes := {"mine": count(mine), "all": count(mine | a | b)}

numbers := {x | some x in D.n} & {1.0, 2, 3.50}

indexed[x] := {y | some y in a; y ${random.pick(['>', '<'])} x} if some x in b`,
  }),

  arrays: (random) => ({
    inputs: [
      { list: [3, 1, 2], n: 5 },
      { list: ['b', ['a'], { x: 1 }, null], n: -2 },
      { list: [], n: 0 },
      { list: [[1, 2], [3]], n: 1.5 },
    ],
    rego: `
joined := array.concat(input.list, [input.n])

part := array.slice(input.list, ${random.int(3)}, ${1 + random.int(4)})

flat := ${random.pick(['array.flatten(input.list)', '[y | some x in input.list; some y in x]'])}

backwards := array.reverse(input.list)

range := numbers.range(${random.pick(['1', 'low', '-1'])}, ${random.pick(['3', 'low', '0'])})

low := min([input.n, 50])

steps := numbers.range_step(0, 10, ${random.pick(['3', 'input.n', '10'])})

sorted := sort(input.list)

position := [i | some i, x in input.list; x == ${random.pick(['2', 'null', '"b"', '[3]'])}]

pairs := {[i, j] | some i, _ in input.list; some j, _ in input.list; i < j}

first := input.list[0]

nested contains input.list[_][_]

as_set := {x | some x in input.list}

unique if count(as_set) == count(input.list)

zipped := [[x, y] | some i, x in input.list; y := backwards[i]]

object_of := {sprintf("%v", [x]): i | some i, x in input.list}`,
  }),

  type_tests: (random) => ({
    inputs: [{ x: 1 }, { x: '1' }, { x: [1] }, { x: null }, { x: false }, { x: { a: 1 } }, { x: digits('1e2') }],
    rego: `
is.number if is_number(input.x)

is.string if is_string(input.x)

is.boolean if is_boolean(input.x)

is.array if is_array(input.x)

is.object if is_object(input.x)

is.null if is_null(input.x)

is.set if is_set(${random.pick(['input.x', '{input.x}', 'set()'])})

type := type_name(input.x)

truthy if input.x

number := to_number(input.x)

less := {name | some name, y in {"null": null, "false": false, "2": 2, "a": "a", "list": [], "obj": {}, "set": set()}; input.x ${random.pick(['<', '<=', '>'])} y}

same := [input.x == ${random.pick(['1', '"1"', 'null', 'false', '100'])}, input.x != ${random.pick(['1', '[1]'])}]

castable := to_number(${random.pick(['[input.x][0]', '{"k": input.x}.k', 'object.get(input, "x", "7")'])})

chosen := object.get({1: "one", "1": "text", null: "nothing", [1]: "list", false: "no"}, input.x, "other")

lookup := {1: "one", "1": "text", null: "nothing", [1]: "list", false: "no"}[input.x]

counted := count(input.x)

member if input.x in [1, "1", null, ${random.pick(['[1]', '{"a": 1}', '1e2'])}]`,
  }),
};
