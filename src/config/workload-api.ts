import { isIP } from 'node:net';
import type { Config, JwtSvidConfig, TlsConfig } from './schema.ts';

/*
 * What the configuration says about SPIFFE: where the Workload API is, and what goes together.
 */

type Tree = { readonly [key: string]: unknown };
type Env = { readonly [name: string]: string | undefined };

const treeAt = (value: unknown, ...path: readonly string[]): Tree | undefined => {
  let at = value;
  for (const key of path) at = typeof at === 'object' && at !== null ? (at as Tree)[key] : undefined;
  return typeof at === 'object' && at !== null && !Array.isArray(at) ? (at as Tree) : undefined;
};

/**
 * Puts the Workload API's address where it is left out: SPIFFE_ENDPOINT_SOCKET's (SPIFFE Workload Endpoint
 * specification, section 4), and for JWT bundles the one that TLS has, if any.
 */
export function fillEndpoints(tree: unknown, env: Env): void {
  const fromEnv = env['SPIFFE_ENDPOINT_SOCKET'];
  const forTls = treeAt(tree, 'postern', 'tls', 'workload_api') as { socket?: unknown } | undefined;
  if (forTls !== undefined && fromEnv !== undefined) forTls.socket ??= fromEnv;
  const jwtSvid = treeAt(tree, 'postern', 'identity', 'workload', 'jwt_svid') as
    | { workload_api_socket?: unknown }
    | undefined;
  const socket = forTls?.socket ?? fromEnv;
  if (jwtSvid !== undefined && socket !== undefined) jwtSvid.workload_api_socket ??= socket;
}

/** An address of the Workload API in grpc-js's spelling (SPIFFE Workload Endpoint, section 4). Throws Error. */
export function endpointTarget(text: string): string {
  const file = /^unix:(?:\/\/)?(\/[^/?#][^?#]*)$/.exec(text)?.[1];
  if (file !== undefined) return `unix:${decodeURIComponent(file)}`;
  const [, host = '', port = ''] = /^tcp:\/\/(\[[0-9a-fA-F:.]+\]|[0-9.]+):([0-9]{1,5})$/.exec(text) ?? [];
  const version = isIP(host.replace(/^\[(.*)\]$/, '$1'));
  if (version === 0 || Number(port) > 65_535) throw new Error('unix:///PATH or tcp://IP:PORT is needed');
  return `ipv${version}:${host}:${port}`;
}

const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]+(?:\/[A-Za-z0-9._-]+)+$/;

type IsReadable = (file: string) => boolean;

/** What is wrong with the sections that SPIFFE touches, taken together. */
export const spiffeContradictions = ({ postern }: Config, isReadable: IsReadable): readonly string[] => [
  ...(postern.tls === undefined ? [] : tlsContradictions(postern.tls, isReadable)),
  ...(postern.identity?.workload.jwt_svid === undefined
    ? []
    : jwtSvidContradictions(
        postern.identity.workload.jwt_svid,
        postern.identity.issuers.map(({ issuer }) => issuer),
        isReadable,
      )),
];

function tlsContradictions(tls: TlsConfig, isReadable: IsReadable): readonly string[] {
  const files = { cert: tls.cert, key: tls.key, client_ca: tls.client_ca };
  const problems = Object.entries(files).flatMap(([key, file]) =>
    file === undefined || isReadable(file) ? [] : [`postern.tls.${key}: ${file} cannot be read`],
  );
  const { workload_api: workloadApi, allowed_client_sans: names } = tls;
  if (workloadApi === undefined) {
    if (tls.cert === undefined || tls.key === undefined) {
      problems.push('postern.tls: cert and key are needed, or workload_api');
    }
    if (names.length > 0 && tls.client_ca === undefined)
      problems.push('postern.tls.allowed_client_sans: needs client_ca');
    return problems;
  }
  if (Object.values(files).some((file) => file !== undefined)) {
    problems.push('postern.tls: workload_api takes the place of cert, key and client_ca');
  }
  if (names.some((name) => !SPIFFE_ID.test(name))) {
    problems.push('postern.tls.allowed_client_sans: with workload_api only SPIFFE IDs of workloads');
  }
  if (workloadApi.spiffe_id !== undefined && !SPIFFE_ID.test(workloadApi.spiffe_id)) {
    problems.push('postern.tls.workload_api.spiffe_id: not the SPIFFE ID of a workload');
  }
  return [...problems, ...endpointProblems('postern.tls.workload_api.socket', workloadApi.socket)];
}

function jwtSvidContradictions(
  jwtSvid: JwtSvidConfig,
  issuers: readonly string[],
  isReadable: IsReadable,
): readonly string[] {
  const path = 'postern.identity.workload.jwt_svid';
  const problems: string[] = [];
  for (const [name, domain] of Object.entries(jwtSvid.trust_domains)) {
    const own = `${path}.trust_domains.${name}`;
    const places = [domain.bundle_file, domain.bundle_url, domain.workload_api || undefined];
    if (!TRUST_DOMAIN.test(name)) problems.push(`${own}: not the name of a trust domain`);
    if (places.filter((place) => place !== undefined).length !== 1) {
      problems.push(`${own}: exactly one of bundle_file, bundle_url and workload_api is needed`);
    }
    if (domain.bundle_file !== undefined && !isReadable(domain.bundle_file)) {
      problems.push(`${own}.bundle_file: ${domain.bundle_file} cannot be read`);
    }
    if (/^https?:\/\/[^/]*@/.test(domain.bundle_url ?? '')) {
      problems.push(`${own}.bundle_url: a bundle endpoint has no user name in its URL`);
    }
    // Else `input.identity.issuer` could mean either.
    if (issuers.includes(`spiffe://${name}`)) problems.push(`${own}: an issuer has the same name`);
  }
  const asks = Object.values(jwtSvid.trust_domains).some((domain) => domain.workload_api);
  return asks
    ? [...problems, ...endpointProblems(`${path}.workload_api_socket`, jwtSvid.workload_api_socket)]
    : problems;
}

function endpointProblems(path: string, socket: string | undefined): readonly string[] {
  if (socket === undefined) return [`${path}: needed, because SPIFFE_ENDPOINT_SOCKET is not set`];
  try {
    endpointTarget(socket);
    return [];
  } catch (error) {
    return [`${path}: ${(error as Error).message}`];
  }
}
