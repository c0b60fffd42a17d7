import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server as HttpServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Child, eventually, freePorts, startProcess, tool } from './process.ts';
import type { Scope } from './scope.ts';

export type EnvoyOptions = {
  readonly folder: string;
  /** ext_authz servers, HOST:PORT; without ext_authz when there are none. */
  readonly servers: readonly string[];
  /** HOST:PORT; undefined when Envoy is to answer 200 by itself. */
  readonly upstream: string | undefined;
  readonly failureModeAllow?: boolean;
  /** Send up to this many bytes of the body along. */
  readonly bodyBytes?: number;
  readonly timeoutMs?: number;
  /** Check the servers' gRPC health, so that one that drains is left out. */
  readonly healthChecks?: boolean;
  readonly rawHeaders?: boolean;
  /** Worker threads, each with a connection of its own to each server; 1 unless told otherwise. */
  readonly concurrency?: number;
  /** How many calls each connection to the servers may carry at a time; as many as the server lets unless told otherwise. */
  readonly maxConcurrentStreams?: number;
  /** More of the ext_authz cluster. */
  readonly cluster?: object;
  /** HTTP filters in front of ext_authz, and of which namespaces it sends the metadata along. */
  readonly filters?: readonly object[];
  readonly metadataNamespaces?: readonly string[];
  /** Speak TLS to the servers: files of the authority, and of the certificate to show; the server's URI or DNS name. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string; readonly server: string };
  /** Want a certificate of this authority from clients, and tell about it in X-Forwarded-Client-Cert. */
  readonly clients?: { readonly ca: string; readonly cert: string; readonly key: string };
};

export type Envoy = Child & {
  readonly port: number;
  /** Value of one of Envoy's counters or gauges; 0 when it has none of that name. */
  readonly stat: (name: string) => Promise<number>;
  /** The dynamic metadata that ext_authz left, one JSON document per request that was logged. */
  readonly metadata: () => string[];
};

const duration = (ms: number): string => `${ms / 1000}s`;

function cluster(name: string, servers: readonly string[], extra: object): object {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: servers.map((server) => ({
            endpoint: {
              address: { socket_address: { address: '127.0.0.1', port_value: Number(server.split(':')[1]) } },
            },
          })),
        },
      ],
    },
    ...extra,
  };
}

const http2 = (options: object): object => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: options },
    },
  },
});
const grpcHealth = {
  health_checks: [
    {
      timeout: '1s',
      interval: '0.1s',
      no_traffic_interval: '0.1s',
      unhealthy_threshold: 1,
      healthy_threshold: 1,
      grpc_health_check: {},
    },
  ],
};

/** Envoy's client speaks TLS 1.2 at most unless it is told otherwise. */
const transport = ({ ca, cert, key, server }: NonNullable<EnvoyOptions['tls']>): object => ({
  transport_socket: {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      common_tls_context: {
        tls_params: { tls_maximum_protocol_version: 'TLSv1_3' },
        tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
        validation_context: {
          trusted_ca: { filename: ca },
          match_typed_subject_alt_names: [
            { san_type: server.includes(':') ? 'URI' : 'DNS', matcher: { exact: server } },
          ],
        },
      },
    },
  },
});

const clientTransport = ({ ca, cert, key }: NonNullable<EnvoyOptions['clients']>): object => ({
  transport_socket: {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      require_client_certificate: true,
      common_tls_context: {
        tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
        validation_context: { trusted_ca: { filename: ca } },
      },
    },
  },
});

const routeTo = (upstream: string | undefined): object =>
  upstream === undefined
    ? { direct_response: { status: 200, body: { inline_string: 'envoy' } } }
    : { route: { cluster: 'upstream' } };

/** Envoy's configuration for one listener with ext_authz before one upstream. */
export function envoyConfig(options: EnvoyOptions, port: number, adminPort: number, log: string): object {
  const extAuthz = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
    transport_api_version: 'V3',
    failure_mode_allow: options.failureModeAllow ?? false,
    encode_raw_headers: options.rawHeaders ?? false,
    grpc_service: { envoy_grpc: { cluster_name: 'postern' }, timeout: duration(options.timeoutMs ?? 10_000) },
    ...(options.metadataNamespaces === undefined ? {} : { metadata_context_namespaces: options.metadataNamespaces }),
    ...(options.bodyBytes === undefined
      ? {}
      : { with_request_body: { max_request_bytes: options.bodyBytes, allow_partial_message: true } }),
  };
  const manager = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'in',
    ...(options.clients === undefined
      ? {}
      : {
          forward_client_cert_details: 'SANITIZE_SET',
          set_current_client_cert_details: { subject: true, uri: true, dns: true },
        }),
    access_log: [
      {
        name: 'envoy.access_loggers.file',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path: log,
          log_format: { text_format_source: { inline_string: '%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%\n' } },
        },
      },
    ],
    route_config: {
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, ...routeTo(options.upstream) }] },
      ],
    },
    http_filters: [
      ...(options.filters ?? []),
      ...(options.servers.length === 0 ? [] : [{ name: 'envoy.filters.http.ext_authz', typed_config: extAuthz }]),
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  return {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: { socket_address: { address: '127.0.0.1', port_value: port } },
          filter_chains: [
            {
              filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }],
              ...(options.clients === undefined ? {} : clientTransport(options.clients)),
            },
          ],
        },
      ],
      clusters: [
        ...(options.upstream === undefined ? [] : [cluster('upstream', [options.upstream], {})]),
        cluster('postern', options.servers, {
          ...http2(
            options.maxConcurrentStreams === undefined ? {} : { max_concurrent_streams: options.maxConcurrentStreams },
          ),
          ...(options.healthChecks ? grpcHealth : {}),
          ...(options.tls === undefined ? {} : transport(options.tls)),
          ...options.cluster,
        }),
      ],
    },
  };
}

/** A real Envoy on free ports of the loopback interface. */
export async function startEnvoy(context: Scope | undefined, options: EnvoyOptions): Promise<Envoy> {
  const [port = 0, adminPort = 0] = await freePorts(2);
  const file = join(options.folder, `envoy-${port}.yaml`);
  const log = join(options.folder, `envoy-${port}.log`);
  writeFileSync(file, stringify(envoyConfig(options, port, adminPort, log)));
  const child = startProcess(context, tool('envoy'), [
    ...['-c', file, '--concurrency', String(options.concurrency ?? 1), '-l', 'warning', '--disable-hot-restart'],
  ]);
  const admin = `http://127.0.0.1:${adminPort}`;
  await Promise.race([
    eventually(async () => ((await fetch(`${admin}/ready`)).ok ? true : undefined)),
    child.exited.then((code) => {
      throw new Error(`envoy ended with ${code}:\n${child.stderr()}`);
    }),
  ]);
  return {
    ...child,
    port,
    stat: async (name) => {
      const text = await (await fetch(`${admin}/stats?filter=${encodeURIComponent(`^${name}$`)}`)).text();
      return Number(/: ([0-9]+)/.exec(text)?.[1] ?? 0);
    },
    metadata: () => readFileSync(log, 'utf8').trim().split('\n'),
  };
}

export type Seen = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
};

/** An upstream that remembers what reached it, and answers 200. */
export async function startUpstream(
  context: Scope | undefined,
): Promise<{ readonly address: string; readonly seen: Seen[]; readonly server: HttpServer }> {
  const seen: Seen[] = [];
  const server = createServer((incoming, response) => {
    seen.push({ method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers });
    incoming.resume();
    response.end('upstream');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context?.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, seen, server };
}

export type Reply = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly body: string };
export type Ask = {
  readonly method?: string;
  readonly headers?: { readonly [name: string]: string | string[] };
  readonly body?: string | Buffer;
};

/** One HTTP/1.1 request with exactly this target; fetch would tidy it up. */
export async function ask(
  port: number,
  path: string,
  { method = 'GET', headers = {}, body }: Ask = {},
): Promise<Reply> {
  const outgoing = request({ host: '127.0.0.1', port, path, method, headers, agent: false });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode ?? 0, headers: response.headers, body: text };
}
