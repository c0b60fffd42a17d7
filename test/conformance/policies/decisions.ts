import { ACTIONS, type Kinds, ROLES, USERS } from './kind.ts';

/* Policies that decide from attributes: of users and documents, flags, tiers and columns. */

export const decisionKinds: Kinds = {
  nested_data: (random) => ({
    data: {
      org: {
        eng: { teams: { core: { lead: 'ann', members: random.some(USERS, 3) }, web: { lead: 'bob', members: [] } } },
        ops: { teams: { sre: { lead: '王', members: random.some(USERS, 2) } } },
        empty: {},
      },
      index: ['eng', 'ops'],
    },
    inputs: [
      { dept: 'eng', team: 'core', user: 'ann' },
      { dept: 'ops', team: 'sre', user: 'bob' },
      { dept: 'empty', team: 'x' },
      { dept: 0, team: ['core'], user: null },
    ],
    rego: `
team := D.org[input.dept].teams[input.team]

lead if team.lead == input.user

leads[name] := t.lead if {
	some dept
	t := D.org[dept].teams[name]
}

all_members contains m if {
	m := D.org[_].teams[_].members[_]
}

paths contains [dept, name, i] if D.org[dept].teams[name].members[i] == input.user

by_index := D.org[D.index[${random.pick(['0', '1', 'input.dept'])}]]

dynamic := data.d[name_of_policy].index if name_of_policy := "${random.pick(['NAME', 'nobody'])}"

self := ${random.pick(['data.p.NAME.lead', 'data.p["NAME"].team', 'data.d[input.dept]'])}

missing if not D.org[input.dept].teams.${random.pick(['core', 'sre'])}

whole := count(D.org[input.dept])

teams := {dept: object.keys(object.get(d, "teams", {})) | some dept, d in D.org}

allow if {
	some dept, i
	D.org[dept].teams[input.team].members[i] == input.user
	D.index[_] == dept
}`,
  }),

  feature_flags: (random) => ({
    data: {
      flags: {
        beta: { on: true, percent: random.int(100), salt: 's1' },
        dark: { on: true, percent: 100, only: random.some(USERS, 2) },
        old: { on: false, percent: 50 },
      },
    },
    inputs: USERS.slice(0, 5).map((user, index) => ({ user, ...(index === 2 ? { override: { old: true } } : {}) })),
    rego: `
bucket(flag, user) := n % 100 if {
	digest := crypto.${random.pick(['sha256', 'md5'])}(concat("/", [flag, user]))
	n := sum([part |
		some i in numbers.range(0, 3)
		part := indexof("0123456789abcdef", substring(digest, i, 1)) * ((16 * i) + 1)
	])
}

buckets := {flag: bucket(flag, input.user) | some flag, _ in D.flags}

enabled contains flag if {
	some flag, settings in D.flags
	settings.on
	not settings.only
	bucket(flag, input.user) < settings.percent
}

enabled contains flag if {
	some flag, settings in D.flags
	input.user in settings.only
}

enabled contains flag if some flag, true in input.override

variant := ["a", "b", "c"][bucket("variant", input.user) % ${2 + random.int(2)}]

answer := object.union({flag: false | some flag, _ in D.flags}, {flag: true | some flag in enabled})

report := concat(",", sort([sprintf("%s=%v", [k, v]) | some k, v in answer]))`,
  }),

  rate_tiers: (random) => ({
    data: {
      tiers: [
        { name: 'free', max: 10, burst: 1.5 },
        { name: 'pro', max: 100 + random.int(50), burst: 2 },
        { name: 'max', max: 1e4 },
      ],
      use: { ann: 9, bob: 140, cyd: 99_999 },
      plan: { ann: 'free', bob: 'pro', cyd: 'max', dörte: 'gone' },
    },
    inputs: ['ann', 'bob', 'cyd', 'dörte', 'eve'].map((user) => ({ user, cost: 1 + random.int(5) })),
    rego: `
tier := t if {
	some t in D.tiers
	t.name == D.plan[input.user]
}

used := object.get(D.use, input.user, 0)

limit := tier.max * object.get(tier, "burst", ${random.pick(['1', '1.25'])})

left := limit - used

allow if left >= input.cost

status := 200 if allow
else := 429 if tier
else := 403

fits := [t.name | some t in D.tiers; t.max >= used + input.cost]

upgrade := fits[0] if not allow

headers := {
	"x-limit": format_int(limit, 10),
	"x-left": sprintf("%v", [max([0, left])]),
	"x-tier": object.get(D.plan, input.user, "none"),
}

share := ${random.pick(['round((used * 100) / 128)', 'used / 16', 'floor((used / 64) * 1000)'])}

ranking := [pair[1] | some pair in array.reverse(sort([[n, user] | some user, n in D.use]))]`,
  }),

  masking: (random) => ({
    wrapped: true,
    data: {
      columns: { ssn: 'hidden', salary: 'hr', name: 'all', note: random.pick(['owner', 'all']) },
      rows: [
        { name: 'ann', ssn: '123-45-6789', salary: 5000.5, note: 'x' },
        { name: 'bob', salary: 1e6, note: null },
      ],
    },
    inputs: [
      { user: 'ann', roles: ['hr'] },
      { user: 'bob', roles: [] },
      { user: 'cyd', roles: random.some(ROLES, 2) },
      { user: 'ann', roles: 'hr' },
    ],
    rego: `
may_see(column, _) if D.columns[column] == "all"

may_see(column, _) if {
	D.columns[column] == "hr"
	"hr" in input.roles
}

may_see(column, row) if {
	D.columns[column] == "owner"
	row.name == input.user
}

rows := [masked |
	some row in D.rows
	masked := {column: value |
		some column, raw in row
		value := shown(column, raw, row)
	}
]

shown(column, raw, row) := raw if may_see(column, row)
else := regex.replace(raw, "[0-9]", "#") if is_string(raw)
else := ${random.pick(['null', '"hidden"', '0'])}

visible := {column | some column, _ in D.columns; may_see(column, {})}

hidden := object.keys(D.columns) - visible

where := concat(" OR ", sort({sprintf("%s = '%s'", [c, input.user]) | some c in visible}))

last_digits := substring(D.rows[0].ssn, ${random.pick(['7', '-1', '9'])}, 4)`,
  }),

  abac: (random) => ({
    data: {
      users: Object.fromEntries(
        USERS.map((user) => [
          user,
          { level: random.int(5), dept: random.pick(['hr', 'it']), tags: random.some(ACTIONS, 2) },
        ]),
      ),
      docs: Object.fromEntries(
        ['d1', 'd2', 'd3'].map((doc) => [
          doc,
          { level: random.int(5), dept: random.pick(['hr', 'it']), tags: random.some(ACTIONS, 2) },
        ]),
      ),
    },
    inputs: ['d1', 'd2', 'd3', 'd4'].map((doc) => ({
      user: random.pick(USERS),
      doc,
      action: random.pick(ACTIONS),
      ip: '10.0.0.1',
    })),
    rego: `
user := D.users[input.user]

doc := D.docs[input.doc]

default allow := false

allow if {
	user.level >= doc.level
	${random.pick(['user.dept == doc.dept', 'count({t | some t in user.tags} & {t | some t in doc.tags}) > 0', 'every t in doc.tags { t in user.tags }'])}
	not blocked
}

blocked if {
	input.action in {"delete", "export"}
	user.level < ${random.int(5)}
}

readable contains name if {
	some name, d in D.docs
	allow with input.doc as name
}

matrix[u][name] := level if {
	some u, attributes in D.users
	some name, d in D.docs
	level := attributes.level - d.level
	level > ${random.int(2)}
}

obligations contains {"log": input.action} if doc.level > 2

obligations contains {"notify": sprintf("%s@%s", [input.user, doc.dept])} if input.action == "export"

same_dept := sort([u | some u, a in D.users; a.dept == doc.dept])

why := {"user": user, "doc": doc, "gap": doc.level - user.level}`,
  }),
};
