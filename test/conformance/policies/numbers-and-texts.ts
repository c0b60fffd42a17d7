import { digits, type Kinds } from './kind.ts';

/* Policies that compute with numbers and texts. */

const LIMITS = ['0.1', '1e3', '12345678901234567890', '-7', '2.50', '9007199254740993'] as const;

const pods = (images: readonly string[]): unknown => ({
  kind: 'Pod',
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: {
    containers: images.map((image, index) => ({
      name: `c${index}`,
      image,
      resources: { limits: { memory: `${index + 1}Gi`, cpu: `${index * 250}m` } },
      securityContext: { privileged: index === 1 },
    })),
  },
});

export const numberAndTextKinds: Kinds = {
  amounts: (random) => ({
    data: { limit: digits(random.pick(LIMITS)), rates: { EUR: 1, USD: 1.5, JPY: 163.5 } },
    inputs: [
      { amount: 100, currency: 'EUR' },
      { amount: digits('0.250'), currency: 'USD' },
      { amount: digits('1234567890123'), currency: 'JPY' },
      { amount: -1000, currency: 'EUR' },
      { amount: '100', currency: 'EUR' },
    ],
    rego: `
value := input.amount * D.rates[input.currency]

allow if value ${random.pick(['<=', '<', '!='])} D.limit

sum := input.amount + ${random.pick(['0.1', '1', '9007199254740993', '1e-3'])}

fee := round(value * ${random.pick(['0.015', '2', '0.5'])})

up := ceil(input.amount)

down := floor(input.amount)

positive := abs(input.amount)

half := input.amount / ${random.pick(['2', '4', '0.5', '-8'])} if input.amount < 1000000

left := input.amount % ${random.pick(['7', '10', '0', '1.5'])}

exact if input.amount == ${random.pick(['100', '100.0', '0.3', '-1000'])}

highest := max([input.amount, D.limit, 0])

text := sprintf("%v|%d|%s", [input.amount, input.amount, input.currency])

product_all := product([round(input.amount), 2, ${random.pick(['3', '-5'])}])`,
  }),

  formats: (random) => ({
    inputs: [
      { name: 'ann', n: 42, x: 1.5, list: [1, 'a', null], set: 'abc' },
      { name: '王"\\', n: -1, x: 1e6, list: [], set: '' },
      { name: '', n: digits('123456789012345678901234567890'), x: 0, list: { k: [true] }, set: 'é' },
      { name: null, n: '7', x: digits('1.50'), list: 3 },
    ],
    rego: `
v := sprintf("${random.pick(['%v', '<%v>', '%v %v'])}", [input.list])

many := sprintf("${random.pick(['%s is %d', '%q has %05d', '%-6s|%+d', '%10s|%x'])}", [input.name, input.n])

real := sprintf("${random.pick(['%.2f', '%8.3f', '%e', '%g', '%v'])}", [input.x])

few := sprintf("%s %s", [input.name])

extra := sprintf("${random.pick(['%v', '100%%', 'x'])}", [input.name, input.n])

set := sprintf("%v", [{x | some x in input.list}])

typed := sprintf("${random.pick(['%T', '%t', '%c', '%U'])}", [input.n])

number := format_int(input.n, ${random.pick(['10', '16', '2', '8'])}) if input.n < 1000000000

parsed := to_number(input.n)

message := concat("", ["[", upper(input.name), "]"])

wide := sprintf("${random.pick(['%*d', '%[2]v %[1]v', '%6.2v'])}", [5, input.n])`,
  }),

  texts: (random) => ({
    inputs: [
      { s: 'Hello, World', t: 'o' },
      { s: 'ÀÉÎ straße 王王', t: '王' },
      { s: '  padded\t\n', t: ' ' },
      { s: '', t: '' },
      { s: 'a,b,,c', t: ',' },
      { s: 'I\u0307ı', t: 'i' },
    ],
    rego: `
cases := [lower(input.s), upper(input.s)]

parts := split(input.s, input.t)

at := indexof(input.s, input.t) if input.t != ""

all := indexof_n(input.s, input.t)

trimmed := [trim(input.s, input.t), trim_left(input.s, input.t), trim_right(input.s, ${random.pick(['"d "', 'input.t', '"王"'])}), trim_space(input.s)]

cut := substring(input.s, ${random.pick(['0', '1', '3', '100', '-1'])}, ${random.pick(['-1', '2', '5', '0'])})

replaced := replace(input.s, input.t, ${random.pick(['"_"', '""', '"$1"'])}) if input.t != ""

backwards := strings.reverse(input.s)

has := contains(input.s, input.t)

starts := [startswith(input.s, input.t), endswith(input.s, input.t)]

length := count(input.s)

times := strings.count(input.s, input.t)

any := [strings.any_prefix_match([input.s], ["H", "a"]), strings.any_suffix_match(input.s, [input.t, "d"])]

pairs := strings.replace_n({"a": "b", "b": "c", "${random.pick(['l', 'ß', ','])}": "-"}, input.s)

order := sort([input.s, input.t, "Z", "a", "é"])`,
  }),

  codecs: (random) => ({
    inputs: [
      { text: 'hello', key: 'k' },
      { text: 'héé 王\u0000', key: '' },
      { text: '', key: 'x'.repeat(70) },
      { text: '{"a": [1.50, 1e2, "\\u00e9"], "b": null}', key: 'k' },
      { text: 'aGk=', key: 5 },
    ],
    rego: `
encoded := [base64.encode(input.text), base64url.encode(input.text), base64url.encode_no_pad(input.text), hex.encode(input.text)]

decoded := ${random.pick(['base64.decode(encoded[0])', 'base64url.decode(encoded[1])', 'hex.decode(encoded[3])', 'base64url.decode(encoded[2])'])} if input.text != ""

valid := base64.is_valid(input.text) if padded

padded if {
	count(input.text) > 3
	count(input.text) % 4 == 0
}

hashes := [crypto.sha256(input.text), crypto.${random.pick(['md5', 'sha1'])}(input.text)]

mac := crypto.hmac.${random.pick(['sha256', 'sha512', 'md5'])}(input.text, input.key)

same if crypto.hmac.equal(mac, mac)

parsed := json.unmarshal(input.text)

is_json := json.is_valid(input.text)

text := json.marshal([{"t": input.text}, {3, 1, "x"}, ${random.pick(['1.0', '1e3', '0.1'])}, object.get(input, "key", null)])

pretty := json.marshal_with_options({"b": [1, {}], "a": input.text}, {"pretty": true, "indent": "${random.pick([' ', '\\t', '--'])}"})

escaped := json.marshal("é\\u0001\\n")

yes if yaml.is_valid(input.text)

document := yaml.unmarshal(input.text)

url := urlquery.encode(input.text)`,
  }),

  sizes: (random) => ({
    data: { quota: { memory: random.pick(['512Mi', '2Gi', '1.5G']), cpu: random.pick(['500m', '2']) } },
    inputs: [
      pods(['nginx:1.2', 'evil.io/x@sha256:ab', 'gcr.io/a/b']),
      pods([]),
      pods(['nginx']),
      { kind: 'Pod', spec: { containers: [{ image: 7, resources: { limits: { memory: 'lots' } } }] } },
    ],
    rego: `
containers contains c if some c in input.spec.containers

memory[c.name] := units.parse_bytes(c.resources.limits.memory) if some c in containers

cpu := sum([units.parse(c.resources.limits.cpu) | some c in input.spec.containers])

deny contains sprintf("%s: %d over %v", [name, n, D.quota.memory]) if {
	some name, n in memory
	n > units.parse_bytes(D.quota.memory)
}

deny contains msg if {
	some i, c in input.spec.containers
	c.securityContext.privileged
	msg := sprintf("container %d (%q) is privileged", [i, c.name])
}

deny contains sprintf("%v: registry %v", [c.name, registry(c.image)]) if {
	some c in containers
	not registry(c.image) in {"gcr.io", ${random.pick(['"docker.io"', '"evil.io"'])}}
}

registry(image) := parts[0] if {
	parts := split(image, "/")
	count(parts) > 1
	contains(parts[0], ".")
} else := "docker.io"

tags := {c.name: tag | some c in containers; tag := regex.find_n(":[^:/@]+$", c.image, 1)[0]}

over if cpu > units.parse(D.quota.cpu)

bits_used := bits.or(bits.lsh(1, count(containers)), ${random.int(8)})`,
  }),

  bit_masks: (random) => ({
    data: { masks: { read: 1, write: 2, all: 255, big: digits('18446744073709551616') } },
    inputs: [{ mask: 3 }, { mask: 0 }, { mask: digits('18446744073709551617') }, { mask: -1 }, { mask: 1.5 }],
    rego: `
allow if bits.and(input.mask, D.masks.${random.pick(['read', 'write', 'big'])}) != 0

missing := sort([name | some name, mask in D.masks; bits.and(input.mask, mask) != mask])

both := bits.or(input.mask, ${1 + random.int(64)})

flipped := bits.xor(input.mask, D.masks.all)

inverse := bits.negate(input.mask)

shifted := [bits.lsh(input.mask, ${random.int(70)}), bits.rsh(input.mask, ${random.int(3)})]

text := format_int(input.mask, ${random.pick(['2', '16'])}) if input.mask < 1000000000

names := {name: sprintf("%08b", [mask]) | some name, mask in D.masks}

power := product([2 | some _ in numbers.range(1, min([input.mask, 70]))])`,
  }),
};
