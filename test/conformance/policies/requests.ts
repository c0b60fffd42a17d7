import { type Kinds, ROLES } from './kind.ts';

/* Policies about a request: its path, host, address, headers and query. */

export const requestKinds: Kinds = {
  path_arrays: (random) => ({
    data: { owners: { 1: 'ann', 2: 'bob', x: '王' } },
    inputs: [
      { method: 'GET', path: ['users', 'ann'], user: 'ann' },
      { method: 'POST', path: ['users', 'bob', 'docs', '2'], user: 'bob' },
      { method: 'GET', path: [], user: 'cyd' },
      { method: 'PUT', path: ['users', 1, 'docs', 2], user: 1 },
      { method: 'GET', path: ['health'] },
    ],
    rego: `
default allow := false

allow if input.path == ["health"]

allow if {
	input.path = ["users", name]
	input.user == name
}

allow if {
	some name, id
	["users", name, "docs", id] = input.path
	D.owners[${random.pick(['id', 'format_int(to_number(id) % 1000, 10)', 'sprintf("%v", [id])'])}] == name
	input.method in {"GET", ${random.pick(['"POST"', '"PUT"', '"PATCH"'])}}
}

kind := "list" if [_] = input.path
else := "item" if [_, _] = input.path
else := "deep" if count(input.path) > ${2 + random.int(2)}
else := "root" if input.path == []

last := input.path[count(input.path) - 1]

rest := array.slice(input.path, 1, ${random.pick(['count(input.path)', '2', '-1', '100'])})

joined := concat("/", ${random.pick(['input.path', 'array.concat([""], input.path)', '[p | some p in input.path; is_string(p)]'])})

captured[name] := value if {
	some i, name in ["area", "name", "sub", "id"]
	value := input.path[i]
}`,
  }),

  path_text: (random) => ({
    data: { public: ['/health', '/docs/**', '/img/*.png', '/v{1,2}/ping'], prefixes: ['/api/', '/int/'] },
    inputs: ['/docs/a/b', '/img/x.png', '/api/v1/users/42', '/v2/ping', '//', '', '/int/%C3%A9?x=1', '/IMG/a.PNG'].map(
      (path) => ({ path }),
    ),
    rego: `
segments := split(trim(input.path, "/"), "/")

public if {
	some pattern in D.public
	glob.match(pattern, ${random.pick(['["/"]', '[]', 'null', '["/", "."]'])}, input.path)
}

matching contains pattern if {
	some pattern in D.public
	glob.match(pattern, ["/"], lower(input.path))
}

api if strings.any_prefix_match(input.path, D.prefixes)

id := to_number(segments[count(segments) - 1])

parts := regex.find_all_string_submatch_n("^/(api|int)/([^/]+)", input.path, ${random.pick(['-1', '1', '2'])})

clean := ${random.pick(['replace(input.path, "//", "/")', 'trim_suffix(trim_prefix(input.path, "/"), "/")', 'trim_right(input.path, "/abc")', 'strings.replace_n({"/": ".", "a": "A"}, input.path)'])}

position := indexof(input.path, ${random.pick(['"/"', '"v1"', '"é"', '"x"'])})

version := regex.replace(input.path, "^/v([0-9]+)/.*$", "$1")`,
  }),

  routes_regex: (random) => ({
    data: {
      routes: [
        { pattern: '^/users/[a-z]+$', methods: ['GET'], role: random.pick(ROLES) },
        { pattern: '^/users/(?P<id>[0-9]{1,3})/?$', methods: ['GET', 'PUT'], role: random.pick(ROLES) },
        { pattern: '(?i)^/admin(/.*)?$', methods: ['*'], role: 'admin' },
        { pattern: '[', methods: ['GET'], role: 'broken' },
      ],
    },
    inputs: [
      { path: '/users/ann', method: 'GET', roles: random.some(ROLES, 3) },
      { path: '/users/12/', method: 'PUT', roles: [...ROLES] },
      { path: '/ADMIN/x', method: 'TRACE', roles: ['admin'] },
      { path: '/', method: 'GET', roles: 'admin' },
    ],
    rego: `
matched contains i if {
	some i, route in D.routes
	${random.pick(['regex.match(route.pattern, input.path)', 'regex.is_valid(route.pattern)\n\tregex.match(route.pattern, input.path)'])}
}

allow if {
	some i in matched
	some method in D.routes[i].methods
	method in {"*", input.method}
	D.routes[i].role in input.roles
}

needs := {D.routes[i].role | some i in matched}

words := regex.split("[/.]+", input.path)

digits := regex.find_n("[0-9]", input.path, ${random.pick(['-1', '1', '0'])})

template := regex.template_match("/users/{[a-z]+}", input.path, "{", "}")

first := regex.find_all_string_submatch_n("/(.)", input.path, 1)[0][1]`,
  }),

  methods_else: (random) => ({
    inputs: [
      { method: 'GET', length: 0 },
      { method: 'POST', length: 2_000_000, type: 'application/json' },
      { method: 'DELETE', length: -1 },
      { method: 'get', type: 'text/plain; charset=utf-8' },
    ],
    rego: `
verdict := "read" if upper(input.method) in {"GET", "HEAD"}
else := "big" if input.length > ${random.pick(['1000', '1e6', '1024 * 1024', '1.5e6'])}
else := concat(":", ["write", input.method]) if {
	input.method in ["POST", "PUT"]
	input.type == "application/json"
}
else := {"odd": input.method} if not ${random.pick(['input.length', 'input.length < 0', 'input.type'])}
else := ${random.pick(['"other"', 'input', '[]'])}

cost(method) := 1 if method == "GET"
else := 5 if method == "POST"
else := 10

price := cost(input.method) * ${1 + random.int(9)}.5

type := trim_space(split(input.type, ";")[0])

charset := substring(input.type, indexof(input.type, "charset=") + 8, ${random.pick(['-1', '3', '100'])})`,
  }),

  networks: (random) => ({
    data: {
      allow: ['10.0.0.0/8', '192.168.1.0/24', '2001:db8::/32', random.pick(['172.16.0.0/12', '0.0.0.0/0'])],
      deny: ['10.1.0.0/16', '192.168.1.128/25'],
      named: { office: '10.9.0.0/16', vpn: '2001:db8:1::/48' },
    },
    inputs: ['10.2.3.4', '10.1.255.255', '2001:db8:1::7', '8.8.8.8', 'not an address', '192.168.1.200'].map(
      (address) => ({ address }),
    ),
    rego: `
inside contains range if {
	some range in D.allow
	net.cidr_contains(range, input.address)
}

denied if {
	some range in D.deny
	net.cidr_contains(range, input.address)
}

allow if {
	count(inside) > 0
	not denied
}

from := [name | some name, range in D.named; net.cidr_contains(range, input.address)]

hits := net.cidr_contains_matches(D.allow, ${random.pick(['input.address', '[input.address, "10.1.2.3"]', '{"x": input.address}'])})

merged := net.cidr_merge(${random.pick(['D.allow', 'array.concat(D.allow, D.deny)', '["10.0.0.0/9", "10.128.0.0/9"]'])})

overlaps contains [a, b] if {
	some a in D.allow
	some b in D.deny
	net.cidr_intersects(a, b)
}

hosts := count(net.cidr_expand("${random.pick(['10.0.0.0/28', '192.168.0.7/30', '::/124'])}"))

valid if net.cidr_is_valid(concat("/", [input.address, "${random.pick(['32', '24', '129'])}"]))`,
  }),

  headers: (random) => ({
    inputs: [
      { headers: { authorization: 'Bearer abc.def', 'x-forwarded-for': '10.0.0.1, 8.8.8.8' } },
      { headers: { Authorization: 'Basic YW5uOnBhc3M=', 'x-forwarded-for': '' } },
      { headers: { authorization: ['Basic !!!'], cookie: 'a=1; b=2;c' } },
      { headers: {} },
    ],
    rego: `
header[name] := value if {
	some key, value in input.headers
	name := lower(key)
}

scheme := lower(split(header.authorization, " ")[0])

credentials := base64.decode(split(header.authorization, " ")[1]) if scheme == "basic"

bearer := trim_prefix(header.authorization, ${random.pick(['"Bearer "', '"bearer "', '"B"'])}) if scheme == "bearer"

login := {"user": user, "password": password} if [user, password] := split(credentials, ":")

hops := [trim_space(hop) | some hop in split(object.get(header, "x-forwarded-for", ""), ",")]

client := hops[${random.pick(['0', 'count(hops) - 1', '1'])}]

cookies[name] := value if {
	some part in split(header.cookie, ";")
	[name, value] := split(trim(part, " "), "=")
}

known := object.keys(header) ${random.pick(['&', '-', '|'])} {"authorization", "host", "x-forwarded-for"}

response := {
	"allowed": ${random.pick(['scheme in {"bearer"}', 'count(known) > 1', 'true'])},
	"headers": object.union({"x-by": "opa"}, ${random.pick(['input.headers', 'header', '{"x-by": scheme}'])}),
	"http_status": ${random.pick(['403', '401'])},
}`,
  }),

  hosts: (random) => ({
    data: { tenants: { shop: 'ann', 'a-b': 'bob' }, suffix: '.example.com' },
    inputs: [
      'shop.example.com',
      'EVIL.example.com.evil.org',
      'a-b.example.com:8443',
      'example.com',
      'x.y.example.com',
      'ß.example.com',
    ].map((host) => ({ host, agent: random.pick(['app/1.2.3', 'app/2.0.0-rc.1', 'curl', 'app/10.0.0+b7']) })),
    rego: `
host := lower(split(input.host, ":")[0])

port := to_number(split(input.host, ":")[1])

known if endswith(host, D.suffix)

sub := trim_suffix(host, D.suffix) if known

tenant := D.tenants[sub]

level := count(split(host, "."))

matches := glob.match("*.example.com", ${random.pick(['["."]', '[]', 'null'])}, host)

version := split(input.agent, "/")[1]

new_enough if {
	semver.is_valid(version)
	semver.compare(version, "${random.pick(['1.2.3', '2.0.0', '1.10.0'])}") >= 0
}

order := sort([${random.pick(['host', 'upper(host)', 'reverse'])}, "m", "~", "é"])

reverse := concat(".", array.reverse(split(host, ".")))

count_of_e := strings.count(host, "e")

shape := regex.replace(host, "[a-z]+", "x")`,
  }),

  query: (random) => ({
    inputs: ['a=1&b=2&a=3', 'q=%E7%8E%8B&x=+', 'x=%zz', '', 'flag', 'limit=500&offset=-1'].map((query) => ({ query })),
    rego: `
params := urlquery.decode_object(input.query)

limit := to_number(params.limit[0])

capped := min([limit, ${random.pick(['100', '1e2', '99.5'])}])

names := sort(object.keys(params))

twice contains name if {
	some name, values in params
	count(values) > 1
}

decoded := urlquery.decode(input.query)

encoded := urlquery.encode(input.query)

again := urlquery.encode_object({name: ${random.pick(['values', 'values[0]', 'sort(values)'])} | some name, values in params})

allow if every name in names { name in {"a", "b", "limit", "q"} }`,
  }),
};
