import Type, { type Static } from 'typebox';

/*
 * Every option once: its type, its default and what it does. docs/config.md is generated from here. OPA's keys keep
 * OPA's names (https://www.openpolicyagent.org/docs/configuration); what is ours stands under `postern`.
 */

const strict = { additionalProperties: false } as const;
const text = (description: string, extra: object = {}) => Type.String({ description, minLength: 1, ...extra });
const seconds = (description: string, fallback: number, minimum = 0) =>
  Type.Number({ description, default: fallback, minimum, maximum: 31_536_000 });
const count = (description: string, fallback: number, minimum: number, maximum: number) =>
  Type.Integer({ description, default: fallback, minimum, maximum });
const flag = (description: string, fallback: boolean) => Type.Boolean({ description, default: fallback });
const nullable = (description: string) =>
  Type.Union([Type.String({ minLength: 1 }), Type.Null()], { description, default: null });
const names = (description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { description, default: [], maxItems: 1000 });
/** A section that may be left out; then it has its defaults. */
const section = <T extends Type.TProperties>(properties: T, extra: object = {}) =>
  Type.Object(properties, { default: {}, ...extra });

const region = () => Type.Optional(text("Region. Without it the environment's AWS_REGION counts."));
const session = text("Name of the role's session.", { default: 'open-policy-agent' });
const domain = () => Type.Optional(text('Domain of AWS, where STS is. AWS_DOMAIN, or amazonaws.com.'));
/** Where keys of AWS come from: one of these, or the first of several that has some. */
const awsKeys = {
  environment_credentials: Type.Optional(
    Type.Object({}, { description: 'AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION.' }),
  ),
  web_identity_credentials: Type.Optional(
    Type.Object(
      {
        aws_region: region(),
        iam_role_arn: Type.Optional(text('The role. AWS_ROLE_ARN.')),
        web_identity_token_file: Type.Optional(text('File with the token. AWS_WEB_IDENTITY_TOKEN_FILE.')),
        session_name: session,
        aws_domain: domain(),
      },
      { description: 'A role, assumed by the token of a service account (EKS).' },
    ),
  ),
  profile_credentials: Type.Optional(
    Type.Object(
      {
        path: Type.Optional(text('Credentials file. AWS_SHARED_CREDENTIALS_FILE, or ~/.aws/credentials.')),
        profile: Type.Optional(text('Profile. AWS_PROFILE, or `default`.')),
        aws_region: region(),
      },
      { description: 'A profile of a credentials file, read for every request.' },
    ),
  ),
  metadata_credentials: Type.Optional(
    Type.Object(
      {
        aws_region: region(),
        iam_role: Type.Optional(text('Role of the EC2 instance. Without it a container counts.')),
      },
      { description: 'The metadata service of EC2 (version 2), or that of the container (ECS, EKS).' },
    ),
  ),
};

const s3Signing = Type.Object(
  {
    service: Type.Optional(text('AWS service that the signature is for: `s3`, with `type: oci` only `ecr`.')),
    signature_version: Type.Literal('4', { description: 'Version of the signature.', default: '4' }),
    ...awsKeys,
    assume_role_credentials: Type.Optional(
      Type.Object(
        {
          aws_region: region(),
          iam_role_arn: Type.Optional(text('The role. AWS_ROLE_ARN.')),
          session_name: session,
          aws_domain: domain(),
          aws_signing: Type.Object(awsKeys, { description: 'Where the keys that may assume the role come from.' }),
        },
        { description: 'A role, assumed through STS.' },
      ),
    ),
    sso_credentials: Type.Optional(
      Type.Object(
        {
          path: Type.Optional(text('Configuration file. AWS_CONFIG_FILE, or ~/.aws/config.')),
          profile: Type.Optional(text('Profile. AWS_PROFILE, or `default`.')),
          aws_region: region(),
        },
        { description: 'A profile with IAM Identity Center, after `aws sso login`.' },
      ),
    ),
  },
  { description: 'AWS signature version 4, from the first of these that has keys.' },
);

const service = Type.Object({
  type: Type.Optional(
    Type.Literal('oci', { description: 'The service is an OCI registry, and bundles are images in it.' }),
  ),
  url: text('Base URL of the service.', { pattern: '^https?://' }),
  headers: Type.Record(Type.String(), Type.String(), { description: 'Headers sent with each request.', default: {} }),
  response_header_timeout_seconds: seconds('How long to wait for the response headers.', 10, 0.001),
  credentials: Type.Optional(
    Type.Object(
      {
        bearer: Type.Optional(
          Type.Object(
            {
              token: Type.Optional(text('The token itself.')),
              token_path: Type.Optional(text('A file that holds the token; read for every request.')),
              scheme: text('The word before the token.', { default: 'Bearer' }),
            },
            strict,
          ),
        ),
        s3_signing: Type.Optional(s3Signing),
      },
      {
        ...strict,
        description: 'How Postern identifies itself to the service. `bearer` and `s3_signing` are supported so far.',
      },
    ),
  ),
});

const bundle = Type.Object({
  resource: Type.Optional(
    text(
      'Path below the service, or a whole URL, `s3://BUCKET/KEY` or `file:///…`; with `type: oci` the image. `bundles/NAME` when left out, as OPA has it.',
    ),
  ),
  service: Type.Optional(text('Name of an entry of `services`. Optional when there is exactly one.')),
  polling: section({
    min_delay_seconds: seconds('Shortest delay between two polls.', 60, 0.01),
    max_delay_seconds: seconds('Longest delay between two polls.', 120, 0.01),
  }),
  size_limit_bytes: count('Refuse a bundle whose unpacked content is larger.', 209_715_200, 1, 2_147_483_647),
});

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

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;

const issuer = Type.Object(
  {
    issuer: text('The `iss` claim, compared exactly.'),
    jwks_uri: Type.Optional(text('Where the key set is; https, or http on loopback.', { pattern: '^https?://' })),
    jwks_file: Type.Optional(text('A file with the key set.')),
    jwks: Type.Optional(
      Type.Object(
        { keys: Type.Array(Type.Object({}, { additionalProperties: true }), { minItems: 1, maxItems: 100 }) },
        { description: 'The key set itself: a mapping with `keys`.' },
      ),
    ),
    discovery: flag('Find the key set through `/.well-known/openid-configuration` below the issuer.', false),
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
    algorithms: Type.Array(Type.Enum([...algorithms]), {
      description: 'Signature algorithms that are accepted.',
      default: [...algorithms],
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
        forward: flag('Whether the token is passed on upstream.', true),
      },
      strict,
    ),
    rules: Type.Array(
      Type.Object(
        {
          hosts: names('Hosts, or `*.DOMAIN`; empty: all.'),
          paths: names('Paths, or `/PREFIX/*` for all that is below; empty: all.'),
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
    cert: text("PEM file with the server's certificate, and after it the intermediate ones."),
    key: text('PEM file with its private key, without a passphrase.'),
    client_ca: Type.Optional(
      text('PEM file with authorities. Clients must show a certificate of one of them, or are refused.'),
    ),
    allowed_client_sans: Type.Array(text('A name.'), {
      description:
        "Names, URI or DNS, one of which a client's certificate must have; compared exactly, `*` is a star. Empty: every client that `client_ca` vouches for.",
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
    workers: Type.Literal(1, { description: 'Serving processes. One so far.', default: 1 }),
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
          max_subjects: count('Subjects whose requests are counted one by one.', 100_000, 1000, 10_000_000),
        },
        {
          ...strict,
          description:
            'Adds `input.context`: time, client_ip, authentication_age_seconds, request (content_type, content_length, body_bytes), subject_requests_per_minute.',
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
  services: Type.Record(Type.String(), service, { description: 'Where bundles come from.', default: {} }),
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
  decision_logs: section({ console: flag('Write each decision to standard output.', false) }),
  plugins: section({ envoy_ext_authz_grpc: extAuthz }),
  postern,
});

export type Config = Static<typeof configSchema>;
export type ServiceConfig = Static<typeof service>;
export type BundleConfig = Static<typeof bundle>;
export type S3SigningConfig = Static<typeof s3Signing>;
export type S3Config = Config['postern']['s3'];
export type IdentityConfig = Static<typeof identity>;
export type IssuerConfig = Static<typeof issuer>;
