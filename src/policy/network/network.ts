import { promises as dns } from 'node:dns';
import { BuiltinError, type Network } from '../builtins/builtin.ts';
import { createAllowList } from './allow-list.ts';
import { createHttpClient } from './http-client.ts';
import { withResponseCache } from './response-cache.ts';

export type NetworkOptions = {
  /** Hosts that policies may speak to and look up: `example.com`, `example.com:8080`, `*.example.com`, `192.0.2.1`. */
  readonly allowHosts: readonly string[];
  /** Networks (CIDR) of private addresses that these hosts may have; public addresses need none. Default: none. */
  readonly allowPrivate?: readonly string[];
  /** OPA's list (capabilities, `allow_net`), exact and without ports: hosts must be in both. */
  readonly allowNet?: readonly string[] | undefined;
  /** Longest response body, bytes. Default 1 MiB. */
  readonly maxResponseBytes?: number;
  /** Requests under way at once. Default 64. */
  readonly maxInFlight?: number;
  /** Most memory for responses that are used again, bytes. Default 64 MiB. */
  readonly cacheBytes?: number;
  /** Environment variables, for `tls_…_env_variable`. Default: none. */
  readonly env?: { readonly [name: string]: string | undefined };
};

const LOOKUP_MS = 5_000;

/** The network for `http.send` and `net.lookup_ip_addr`. Throws Error when an entry is malformed. */
export function createNetwork(options: NetworkOptions): Network {
  const allowList = createAllowList(options);
  const client = createHttpClient({
    allowList,
    maxResponseBytes: options.maxResponseBytes ?? 1_048_576,
    maxInFlight: options.maxInFlight ?? 64,
    env: options.env ?? {},
  });
  return {
    send: withResponseCache(client, Math.max(1, options.cacheBytes ?? 64 * 1_048_576)),
    lookup: async (host) => {
      allowList.requireHost(host);
      return lookUp(host);
    },
  };
}

async function lookUp(host: string): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('timed out')), LOOKUP_MS);
  });
  try {
    const found = await Promise.race([dns.lookup(host, { all: true }), late]);
    return found.map(({ address }) => address);
  } catch {
    throw new BuiltinError(`lookup ${host.slice(0, 255)}: no such host`);
  } finally {
    clearTimeout(timer);
  }
}
