import { createHmac } from 'node:crypto';
import { ACTIONS, type Kinds, ROLES, USERS } from './kind.ts';

/* Policies about tokens and times. */

const SECRET = 'a secret of the tests, 32 bytes.';
const NOON = '2026-03-04T12:34:56Z';

const base64Url = (text: string): string => Buffer.from(text).toString('base64url');

function token(claims: unknown, secret = SECRET, header: unknown = { alg: 'HS256', typ: 'JWT' }): string {
  const signed = `${base64Url(JSON.stringify(header))}.${base64Url(JSON.stringify(claims))}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

export const tokenAndTimeKinds: Kinds = {
  jwt_claims: (random) => ({
    inputs: [
      token({ sub: 'ann', roles: random.some(ROLES, 2), exp: 1_900_000_000, n: 1.5 }),
      token({ sub: '王', aud: ['a', 'b'], nested: { deep: [1, { x: null }] } }, 'other'),
      'a.b',
      '',
      `${base64Url('{"alg":"none"}')}.${base64Url('{"sub":"eve"}')}.`,
      `${base64Url('{')}.${base64Url('[]')}.${base64Url('x')}`,
    ].map((bearer) => ({ bearer, action: random.pick(ACTIONS) })),
    rego: `
header := io.jwt.decode(input.bearer)[0]

claims := ${random.pick(['io.jwt.decode(input.bearer)[1]', 'body if [_, body, _] := io.jwt.decode(input.bearer)', 'body if [_, body, ""] = io.jwt.decode(input.bearer)'])}

allow if {
	"${random.pick(ROLES)}" in claims.roles
	header.alg ${random.pick(['==', '!='])} "HS256"
}

subject := object.get(claims, "sub", "none")

audience contains a if some a in claims.aud

deep := object.get(claims, ["nested", "deep", ${random.int(3)}, "x"], "missing")

strings contains value if {
	walk(claims, [_, value])
	is_string(value)
}

algorithm := header.alg`,
  }),

  jwt_verified: (random) => ({
    data: { secret: SECRET, issuers: ['https://idp', 'https://other'] },
    inputs: [
      token({ sub: 'ann', iss: 'https://idp', aud: 'api', exp: 1_900_000_000, nbf: 1_500_000_000 }),
      token({ sub: 'bob', iss: 'https://idp', aud: ['api', 'web'], exp: 1_600_000_000.5 }),
      token({ sub: 'cyd', iss: 'https://other', aud: 'api' }, 'wrong'),
      token({ sub: 'eve', iss: 'https://idp', nbf: 1_800_000_000 }, SECRET, { alg: 'HS384' }),
      // An issuer that is no string makes OPA panic.
      token({ sub: 'x', iss: 'https://idp', exp: 'soon', aud: 7 }),
      'a.b.c',
    ].map((bearer) => ({ bearer })),
    rego: `
checked := io.jwt.decode_verify(input.bearer, {
	"secret": D.secret,
	${random.pick(['"alg": "HS256",', '"iss": "https://idp",', ''])}
	${random.pick(['"aud": "api",', ''])}
	"time": ${random.pick(['1700000000000000000', '1600000000 * 1000000000', '1.7e18'])},
})

default allow := false

allow if {
	[valid, _, claims] := checked
	valid
	claims.iss in D.issuers
}

signed if io.jwt.verify_hs256(input.bearer, D.secret)

signed_wrong := io.jwt.verify_hs${random.pick(['384', '512'])}(input.bearer, D.secret)

who := checked[2].sub

expired if io.jwt.decode(input.bearer)[1].exp < 1700000000`,
  }),

  time_windows: (random) => ({
    data: { zone: random.pick(['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata']), from: 8, to: 17 },
    inputs: [
      NOON,
      '2026-03-07T23:59:59.999999999+05:30',
      '2024-02-29T00:00:00-11:00',
      '2026-13-01T00:00:00Z',
      'now',
      '',
    ].map((time) => ({ time, user: random.pick(USERS) })),
    rego: `
now := time.parse_rfc3339_ns(input.time)

clock := time.clock([now, D.zone])

date := time.date(${random.pick(['now', '[now, D.zone]', '[now, "Asia/Tokyo"]'])})

weekday := time.weekday(${random.pick(['now', '[now, D.zone]'])})

allow if {
	clock[0] >= D.from
	clock[0] < D.to
	not weekday in {"Saturday", "Sunday"}
}

minutes := (clock[0] * 60) + clock[1]

tomorrow := time.date(time.add_date(now, 0, ${random.pick(['0', '1', '-1'])}, 1))

age := time.diff(now, time.parse_rfc3339_ns("${random.pick(['2020-02-29T00:00:00Z', '2026-03-04T12:34:57Z'])}"))

within if now ${random.pick(['>', '<='])} time.parse_rfc3339_ns("${NOON}") - time.parse_duration_ns("${random.pick(['24h', '1h30m', '1500ms'])}")

shown := time.format(${random.pick(['now', '[now, D.zone]', '[now, D.zone, "RFC1123"]', '[now, "UTC", "2006-01-02"]'])})`,
  }),

  expiry: (random) => ({
    data: {
      grants: USERS.slice(0, 4).map((user, index) => ({
        user,
        until: `2026-0${index + 1}-15T00:00:00Z`,
        for: random.pick(['90m', '36h', '10s', 'x']),
      })),
    },
    inputs: USERS.slice(0, 5).map((user) => ({ user, at: 1_772_000_000_000_000_000 + random.int(9) * 1e15 })),
    rego: `
active contains grant.user if {
	some grant in D.grants
	time.parse_rfc3339_ns(grant.until) > input.at
}

allow if input.user in active

left[grant.user] := ns if {
	some grant in D.grants
	ns := time.parse_rfc3339_ns(grant.until) - input.at
	ns > 0
}

spans := {grant.for: ns | some grant in D.grants; ns := time.parse_duration_ns(grant.for)}

earliest := min({time.parse_rfc3339_ns(grant.until) | some grant in D.grants})

midnight := input.at - (input.at % 86400000000000)

text := time.format([input.at, "UTC", ${random.pick(['"2006-01-02T15:04:05Z07:00"', '"Jan _2"', '"RFC3339Nano"'])}])

mocked := ns if ns := time.now_ns() - input.at with time.now_ns as ${random.pick(['1772000000000000001', '0'])}`,
  }),
};
