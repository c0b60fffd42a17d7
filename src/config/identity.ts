import Type, { type Static } from 'typebox';
import { signatureAlgorithms } from '../lib/public-key.ts';
import { flag, names, nullable, seconds, section, strict, text, workloadApiAddress } from './kinds.ts';

/** A section that is off, null, unless it is written out. */
const nullableSection = <T extends Type.TProperties>(description: string, properties: T) =>
  Type.Union([Type.Object(properties, { additionalProperties: false }), Type.Null()], { description, default: null });

const svidAlgorithms = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'] as const;

const issuer = Type.Object(
  {
    issuer: text('The `iss` claim, compared exactly.'),
    verified_by: Type.Union([Type.Literal('postern'), Type.Literal('envoy')], {
      description:
        '`envoy`: there are no keys, and tokens of this issuer count only as payloads in `token.metadata`; elsewhere they are 401.',
      default: 'postern',
    }),
    jwks_uri: Type.Optional(text('Where the key set is; https, or http on loopback.', { pattern: '^https?://' })),
    jwks_file: Type.Optional(text('A file with the key set.')),
    jwks: Type.Optional(
      Type.Object(
        { keys: Type.Array(Type.Object({}, { additionalProperties: true }), { minItems: 1, maxItems: 100 }) },
        { description: 'The key set itself: a mapping with `keys`.' },
      ),
    ),
    discovery: flag(
      'Find the key set through `/.well-known/openid-configuration` below the issuer (OpenID Connect Discovery), else through `/.well-known/oauth-authorization-server` (RFC 8414).',
      false,
    ),
    jwks_mirrors: Type.Array(text('Where the same key set is, too.', { pattern: '^https?://' }), {
      description: 'Further places of the key set, asked in this order when the first one fails.',
      default: [],
      maxItems: 10,
    }),
    allow_http: flag('Ask these places without encryption, also where they are not on loopback.', false),
    max_stale_seconds: seconds('How long keys are used after they could last be fetched; then 503.', 86_400, 60),
    audiences: Type.Array(Type.String({ minLength: 1 }), {
      description: 'One of them must be in the `aud` claim. Empty: the audience is not looked at.',
      default: [],
      maxItems: 100,
    }),
    algorithms: Type.Array(Type.Enum([...signatureAlgorithms]), {
      description: 'Signature algorithms that are accepted.',
      default: [...signatureAlgorithms],
      minItems: 1,
    }),
    leeway_seconds: seconds('Clock skew tolerated in `exp`, `nbf` and `iat`.', 60),
    max_lifetime_seconds: seconds('Refuse tokens whose `exp` is further away.', 86_400, 1),
    required_claims: Type.Array(text('A claim.'), {
      description: 'Claims that a token must have, beside `iss`, `sub` and `exp`.',
      default: [],
      maxItems: 100,
    }),
    typ: Type.Optional(text('What the header `typ` must say, such as `at+jwt` (RFC 8725 section 3.11).')),
  },
  strict,
);

const trustDomain = Type.Object(
  {
    bundle_file: Type.Optional(text('A file with its SPIFFE bundle.')),
    bundle_url: Type.Optional(
      text('Its SPIFFE bundle endpoint, profile `https_web`; https, or http on loopback.', { pattern: '^https?://' }),
    ),
    workload_api: flag(
      "Take its bundle from the SPIFFE Workload API: our own trust domain's, or a federated one's.",
      false,
    ),
  },
  strict,
);

const jwtSvid = Type.Object(
  {
    audiences: Type.Array(Type.String({ minLength: 1 }), {
      description: 'One of them must be in the `aud` claim.',
      minItems: 1,
      maxItems: 100,
    }),
    trust_domains: Type.Record(Type.String(), trustDomain, {
      description: 'Trust domains whose JWT-SVIDs are accepted, by name, and where the bundle of each comes from.',
      minProperties: 1,
      maxProperties: 100,
    }),
    workload_api_socket: Type.Optional(
      workloadApiAddress(
        'Where the Workload API is, for trust domains with `workload_api`. Default: as for `postern.tls`.',
      ),
    ),
    algorithms: Type.Array(Type.Enum([...svidAlgorithms]), {
      description: 'Signature algorithms that are accepted.',
      default: [...svidAlgorithms],
      minItems: 1,
    }),
    leeway_seconds: seconds('Clock skew tolerated in `exp`, `nbf` and `iat`.', 60),
    max_lifetime_seconds: seconds('Refuse tokens whose `exp` is further away.', 86_400, 1),
    max_stale_seconds: seconds('How long a bundle is used after it could last be fetched; then 503.', 86_400, 60),
  },
  {
    ...strict,
    description:
      'Accept JWT-SVIDs: tokens whose `sub` is the SPIFFE ID of a workload and whose `iss` is none of `issuers`, verified with the bundle of the trust domain.',
  },
);

export const identity = Type.Object(
  {
    required: flag('Without a valid token: 401. When false, an absent token is anonymous, a bad one still 401.', true),
    token: section(
      {
        header: text('Header that carries the token.', {
          default: 'authorization',
          pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        }),
        scheme: Type.Union([Type.Literal('bearer'), Type.Literal('none')], {
          description: '`bearer`: the token follows this word; `none`: it is the whole value of the header.',
          default: 'bearer',
        }),
        cookie: nullable('Cookie that may carry the token instead.'),
        query: nullable('Query parameter that may carry the token instead.'),
        metadata: nullableSection(
          "Where Envoy's dynamic metadata has the payload of a token that Envoy has verified (jwt_authn's `payload_in_metadata`); it is believed.",
          {
            namespace: text('Namespace, among `metadata_context_namespaces` of ext_authz.', {
              default: 'envoy.filters.http.jwt_authn',
            }),
            key: text("Key of the payload: jwt_authn's `payload_in_metadata`."),
            header_key: Type.Optional(
              text("Key of the token's header: jwt_authn's `header_in_metadata`. Given, the header must be there."),
            ),
            space_delimited_claims: names(
              "Claims that jwt_authn makes lists (its `normalize_payload_in_metadata`), for comparing with a forwarded token's.",
            ),
          },
        ),
        forward: flag('Whether the token is passed on upstream.', true),
      },
      strict,
    ),
    rules: Type.Array(
      Type.Object(
        {
          hosts: names('Hosts, or `*.DOMAIN`; empty: all.'),
          paths: Type.Array(text('A path.', { pattern: '^(?:\\*|(?:/(?:\\*|[^*/?#]*))+)$' }), {
            description:
              'Paths; `*` for one whole segment (`/v1/*/public`), at the end for all that is below (`/public/*`); empty: all.',
            default: [],
            maxItems: 1000,
          }),
          methods: names('Methods; empty: all.'),
          token: Type.Union([Type.Literal('required'), Type.Literal('optional'), Type.Literal('forbidden')], {
            description: 'Whether such a request must, may or must not have a token.',
          }),
        },
        strict,
      ),
      { description: 'Where `required` does not hold; the first rule that fits counts.', default: [], maxItems: 1000 },
    ),
    workload: section(
      {
        jwt_svid: Type.Optional(jwtSvid),
        trust_domains: names(
          "SPIFFE trust domains whose workloads become `input.identity.workload`, by Envoy's `source.principal`.",
        ),
        xfcc: flag(
          'Take the workload from X-Forwarded-Client-Cert instead; only where a trusted proxy sets it.',
          false,
        ),
      },
      strict,
    ),
    claims_to_headers: Type.Record(Type.String(), text('A header.', { pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" }), {
      description: 'Claims (dotted paths) that are passed on upstream, with the header for each.',
      default: {},
    }),
    identity_headers: names(
      'Headers that are removed from requests in every spelling, since upstreams take them for an identity: names, or beginnings with `*`. Those of `claims_to_headers` always are.',
    ),
    remove_forwarded: flag(
      'Remove X-Forwarded-For, X-Envoy-Internal and X-Forwarded-Client-Cert from requests as well.',
      false,
    ),
    keys_directory: Type.Optional(
      text('Directory in which key sets are kept, for a start while the identity provider is down.'),
    ),
    issuers: Type.Array(issuer, {
      description: 'Whose tokens are accepted. Empty: tokens are not looked at.',
      default: [],
      maxItems: 100,
    }),
  },
  { ...strict, description: 'Who is calling. Without this section tokens are left to the policy.' },
);

export type IdentityConfig = Static<typeof identity>;
export type IssuerConfig = Static<typeof issuer>;
export type JwtSvidConfig = Static<typeof jwtSvid>;
export type MetadataConfig = NonNullable<IdentityConfig['token']['metadata']>;
