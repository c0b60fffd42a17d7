import Type, { type Static } from 'typebox';
import { bundle } from './bundle.ts';
import { decisionLogs } from './decision-logs.ts';
import { discovery } from './discovery.ts';
import { identity } from './identity.ts';
import { count, flag, names, nullable, seconds, section, strict, text, workloadApiAddress } from './kinds.ts';
import { key, service } from './service.ts';
import { status } from './status.ts';
import { store } from './store.ts';

/*
 * Every option once: its type, its default and what it does. docs/config.md is generated from here. OPA's keys keep
 * OPA's names (https://www.openpolicyagent.org/docs/configuration); what is ours stands under `postern`.
 */

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
            workloadApiAddress(
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
    limits: section(
      {
        overload: section(
          {
            max_delay_ms: Type.Number({
              description:
                'Longest wait, ms, that a call is let in for; one that would wait longer is answered 503 at once. Twice as long while the event loop is less busy than `utilization` says.',
              default: 100,
              minimum: 1,
              maximum: 60_000,
            }),
            utilization: Type.Number({
              description: 'Share of the last half second, 0 to 1, that the event loop must have been busy for that.',
              default: 0.9,
              minimum: 0,
              maximum: 1,
            }),
            serving_share: Type.Number({
              description:
                'Share of time, at least, in which calls that were let in are served while others are refused. More of it answers more calls, less of it refuses the others sooner.',
              default: 0.9,
              minimum: 0.1,
              maximum: 0.99,
            }),
          },
          strict,
        ),
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
    connections: section(
      {
        max_age_seconds: seconds(
          'How old a connection of Envoy may become, give or take a tenth, before it is asked to open another one; 0: as it likes.',
          600,
        ),
        grace_seconds: seconds('How long calls under way on it may take after that.', 10),
      },
      strict,
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
export type { IdentityConfig, IssuerConfig, JwtSvidConfig, MetadataConfig } from './identity.ts';
export type { KeyConfig, ServiceConfig, SigningKeyConfig } from './service.ts';
export type { StoreConfig } from './store.ts';
export type S3Config = Config['postern']['s3'];
export type TlsConfig = Static<typeof tls>;
