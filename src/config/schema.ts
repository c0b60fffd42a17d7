import Type, { type Static } from 'typebox';
import { signatureAlgorithms } from '../lib/public-key.ts';
import { bundle } from './bundle.ts';
import { decisionLogs } from './decision-logs.ts';
import { discovery } from './discovery.ts';
import { count, flag, names, nullable, seconds, section, strict, text } from './kinds.ts';
import { key, service } from './service.ts';
import { status } from './status.ts';
import { store } from './store.ts';

/*
 * Every option once: its type, its default and what it does. docs/config.md is generated from here. OPA's keys keep
 * OPA's names (https://www.openpolicyagent.org/docs/configuration); what is ours stands under `postern`.
 */

/** A section that is off, null, unless it is written out. */
const nullableSection = <T extends Type.TProperties>(description: string, properties: T) =>
  Type.Union([Type.Object(properties, { additionalProperties: false }), Type.Null()], { description, default: null });
/** Of the SPIFFE Workload API. */
const endpoint = (description: string) => text(description, { pattern: '^(?:unix:/|tcp://)' });

const extAuthz = section({
  addr: text('Where the ext_authz gRPC server listens: `HOST:PORT`, `:PORT`, `grpc://HOST:PORT` or `unix:///PATH`.', {
    default: '127.0.0.1:9191',
    pattern: '^(?:(?:grpc://)?[^/]*:[0-9]{1,5}/?|unix://@?.+)$',
  }),
  path: text('Path of the decision, slashes for dots.', { default: 'envoy/authz/allow' }),
  query: Type.Optional(text('The same as `path` in its older spelling, `data.envoy.authz.allow`.')),
  'dry-run': flag("Answer OK whatever the policy says; the log keeps the policy's verdict.", false),
  'enable-reflection': flag('Serve gRPC reflection.', false),
  'skip-request-body-parse': flag('Leave `parsed_body` and `truncated_body` out of the input.', false),
  'proto-descriptor': Type.Optional(
    text('A file with a binary FileDescriptorSet; gRPC request bodies are parsed with it.'),
  ),
  'grpc-max-recv-msg-size': count('Largest CheckRequest, bytes.', 4_194_304, 1024, 268_435_456),
  'grpc-max-send-msg-size': count('Largest CheckResponse, bytes.', 2_147_483_647, 1024, 2_147_483_647),
  'enable-performance-metrics': flag(
    'Also export `grpc_request_duration_seconds` and `error_counter`, as opa-envoy-plugin names them.',
    false,
  ),
  'grpc-request-duration-seconds-buckets': Type.Array(Type.Number({ exclusiveMinimum: 0 }), {
    description: 'Upper bounds of the buckets of `grpc_request_duration_seconds`, seconds.',
    default: [1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 0.01, 0.1, 1],
    minItems: 1,
    maxItems: 100,
  }),
});

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
      endpoint('Where the Workload API is, for trust domains with `workload_api`. Default: as for `postern.tls`.'),
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

const identity = Type.Object(
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

const tls = Type.Object(
  {
    cert: Type.Optional(text("PEM file with the server's certificate, and after it the intermediate ones.")),
    key: Type.Optional(text('PEM file with its private key, without a passphrase.')),
    client_ca: Type.Optional(
      text('PEM file with authorities. Clients must show a certificate of one of them, or are refused.'),
    ),
    workload_api: Type.Optional(
      Type.Object(
        {
          socket: Type.Optional(
            endpoint(
              'Where it is: `unix:///PATH` or `tcp://IP:PORT`. Default: the environment variable SPIFFE_ENDPOINT_SOCKET.',
            ),
          ),
          spiffe_id: Type.Optional(
            text('Which SVID to take when there are several; the first one unless told.', { pattern: '^spiffe://' }),
          ),
          start_timeout_seconds: seconds('How long to wait for the first SVID; then Postern does not start.', 30, 0.1),
        },
        {
          ...strict,
          description:
            'Take certificate, key and the trust bundle for clients from the SPIFFE Workload API instead of `cert`, `key` and `client_ca`. Clients must show an X509-SVID.',
        },
      ),
    ),
    allowed_client_sans: Type.Array(text('A name.'), {
      description:
        "Names, URI or DNS, one of which a client's certificate must have; compared exactly, `*` is a star. Empty: every client that `client_ca` vouches for. With `workload_api`: SPIFFE IDs, also of federated trust domains; empty: every workload of our own trust domain.",
      default: [],
      maxItems: 1000,
    }),
    min_version: Type.Union([Type.Literal('TLSv1.3'), Type.Literal('TLSv1.2')], {
      description: 'Oldest version that is spoken.',
      default: 'TLSv1.3',
    }),
    api: flag('The same on the HTTP API, not only on the ext_authz listener.', false),
    reload_seconds: seconds('How often the files are looked at.', 5, 0.05),
  },
  { ...strict, description: 'TLS on the ext_authz listener. Without this section it is not encrypted.' },
);

const postern = section(
  {
    workers: count(
      'Serving processes. With more than one, another process looks after policies, keys and the API.',
      1,
      1,
      256,
    ),
    paths: Type.Union([Type.Literal('standard'), Type.Literal('strict'), Type.Literal('off')], {
      description:
        '`standard` refuses paths, hosts and methods that can be read in two ways; `strict` also `%2f`, `%5c` and `;`; `off` leaves them to the policy.',
      default: 'standard',
    }),
    tls: Type.Optional(tls),
    identity: Type.Optional(identity),
    context: Type.Optional(
      Type.Object(
        {
          client_ip: section(
            {
              trusted_hops: Type.Integer({
                description:
                  "How many of the last entries of X-Forwarded-For trusted proxies wrote, the asking Envoy included. 0: the client is Envoy's peer.",
                default: 0,
                minimum: 0,
                maximum: 100,
              }),
            },
            strict,
          ),
          time_zone: text('Zone of `hour` and `weekday`.', { default: 'UTC' }),
          geoip: Type.Union(
            [
              Type.String({ minLength: 1 }),
              Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 8 }),
              Type.Null(),
            ],
            {
              description:
                'A database in the format of MaxMind (.mmdb), or up to 8; adds `geo`. Of several the later ones add what the earlier ones do not say.',
              default: null,
            },
          ),
          geoip_reload_seconds: seconds('How often these files are looked at.', 60, 0.05),
          max_subjects: count('Subjects whose requests are counted one by one.', 100_000, 1000, 10_000_000),
        },
        {
          ...strict,
          description:
            'Adds `input.context`: time, client_ip, geo (with `geoip`), authentication_age_seconds, request (content_type, content_length, body_bytes), subject_requests_per_minute.',
        },
      ),
    ),
    evaluation: section(
      {
        budget_ms: Type.Number({
          description:
            "How long a check may take until its evaluation begins, ms. Envoy's deadline, less 10 ms, holds as well.",
          default: 50,
          exclusiveMinimum: 0,
          maximum: 60_000,
        }),
        memory_bytes: count('Most memory that one policy instance may use.', 67_108_864, 1_048_576, 2_147_483_648),
        max_steps: count(
          'Most steps (calls and turns of loops in WebAssembly) of one evaluation; 30 million take about 100 ms.',
          30_000_000,
          100_000,
          2_147_483_647,
        ),
        inline_steps: count(
          'Steps after which an evaluation is begun anew in a thread of its own, where it delays nobody else.',
          300_000,
          10_000,
          2_147_483_647,
        ),
        max_in_flight: count('Checks under way at once; further ones are answered 503.', 4096, 1, 1_000_000),
      },
      strict,
    ),
    s3: section(
      {
        endpoint: Type.Optional(
          text('URL of the S3 server. Without it AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, or that of AWS.', {
            pattern: '^https?://',
          }),
        ),
        region: Type.Optional(text('Region. Without it AWS_REGION, or that of the profile.')),
        force_path_style: flag('Name the bucket in the path, not in the host; most servers but AWS need it.', false),
      },
      strict,
    ),
    http_send: section(
      {
        allow_hosts: Type.Array(
          text('A host.', { pattern: '^(?:(?:\\*\\.)?[^:*/\\[\\]]+|\\[[0-9a-fA-F:.]+\\])(?::[0-9]{1,5})?$' }),
          {
            description:
              'Hosts that policies may ask with `http.send` and look up: `HOST`, `HOST:PORT`, `*.DOMAIN`. Empty: policies that do so are refused.',
            default: [],
            maxItems: 1000,
          },
        ),
        allow_private: Type.Array(text('A network.', { pattern: '^[0-9a-fA-F:.]+/[0-9]{1,3}$' }), {
          description:
            'Networks (CIDR) of private, loopback and link-local addresses that these hosts may have; public ones need none.',
          default: [],
          maxItems: 100,
        }),
        capabilities_file: Type.Optional(
          text("A file with OPA's capabilities; where it has `allow_net`, hosts must be in both lists."),
        ),
        max_response_bytes: count('Longest response body.', 1_048_576, 1024, 104_857_600),
        max_in_flight: count('Requests of policies under way at once.', 64, 1, 10_000),
      },
      strict,
    ),
    bundles: section(
      {
        allow_rollback: names(
          'Bundles of which a signed version may be older than the active one; for going back on purpose.',
        ),
        max_age_seconds: Type.Union([Type.Number({ minimum: 1, maximum: 31_536_000 }), Type.Null()], {
          description:
            'How long a polled bundle is served after its source last said that it is current; then every request is answered 503. null: for ever.',
          default: null,
        }),
      },
      strict,
    ),
    api: section(
      {
        token_file: nullable(
          'File with the bearer token that administrative calls of the API need. Without it they are for those on this machine, if the API is on loopback or a unix socket, and for nobody otherwise.',
        ),
      },
      strict,
    ),
    decision_file: Type.Optional(
      Type.Object(
        {
          path: text('File that decisions are appended to, one JSON document per line.'),
          max_bytes: count('Rotate when the file reaches this size.', 104_857_600, 1024, 10_737_418_240),
          keep: count('How many rotated files to keep.', 5, 0, 1000),
        },
        strict,
      ),
    ),
    store: Type.Optional(store),
    drain: section(
      {
        delay_seconds: seconds('After SIGTERM, how long to keep serving while readiness is off.', 5),
        timeout_seconds: seconds('How long calls under way may take after that.', 10),
      },
      strict,
    ),
  },
  strict,
);

export const configSchema = Type.Object({
  labels: Type.Record(Type.String(), Type.String(), {
    description: 'Written to every decision log event.',
    default: {},
  }),
  keys: Type.Record(Type.String(), key, {
    description: 'Keys, by the name others call them: they verify signatures of bundles, or sign assertions.',
    default: {},
  }),
  services: Type.Record(Type.String(), service, {
    description: 'Where bundles come from, and where status and decisions are sent.',
    default: {},
  }),
  persistence_directory: text(
    'Where bundles with `persist` are kept, and decisions until `decision_logs.service` has them.',
    {
      default: '.opa',
    },
  ),
  bundles: Type.Record(Type.String(), bundle, { description: 'Bundles to poll, by name.', default: {} }),
  caching: section({
    inter_query_builtin_cache: section({
      max_size_bytes: count(
        'Most memory for responses of `http.send` that are used again.',
        67_108_864,
        0,
        10_737_418_240,
      ),
    }),
  }),
  default_decision: text('What `POST /` on the API asks.', { default: 'system/main' }),
  discovery: Type.Optional(discovery),
  status: Type.Optional(status),
  decision_logs: decisionLogs,
  plugins: section({ envoy_ext_authz_grpc: extAuthz }),
  postern,
});

export type Config = Static<typeof configSchema>;
export type { S3SigningConfig } from './aws.ts';
export type { BundleConfig } from './bundle.ts';
export type { DiscoveryConfig } from './discovery.ts';
export type { KeyConfig, ServiceConfig, SigningKeyConfig } from './service.ts';
export type { StoreConfig } from './store.ts';
export type S3Config = Config['postern']['s3'];
export type IdentityConfig = Static<typeof identity>;
export type IssuerConfig = Static<typeof issuer>;
export type JwtSvidConfig = Static<typeof jwtSvid>;
export type TlsConfig = Static<typeof tls>;
export type MetadataConfig = NonNullable<IdentityConfig['token']['metadata']>;
