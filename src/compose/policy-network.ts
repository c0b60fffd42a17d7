import { readFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import type { Network } from '../policy/builtins/builtin.ts';
import { createNetwork } from '../policy/network/network.ts';

/** What policies may ask of the network; undefined when no host is allowed. Throws when the capabilities cannot be read. */
export function createPolicyNetwork(
  config: Pick<Config, 'postern' | 'caching'>,
  env: { readonly [name: string]: string | undefined },
): Network | undefined {
  const { http_send: options } = config.postern;
  if (options.allow_hosts.length === 0) return undefined;
  return createNetwork({
    allowHosts: options.allow_hosts,
    allowPrivate: options.allow_private,
    allowNet: options.capabilities_file === undefined ? undefined : allowNetOf(options.capabilities_file),
    maxResponseBytes: options.max_response_bytes,
    maxInFlight: options.max_in_flight,
    cacheBytes: config.caching.inter_query_builtin_cache.max_size_bytes,
    env,
  });
}

/** The `allow_net` of OPA's capabilities (https://www.openpolicyagent.org/docs/deployments#capabilities), if there is one. */
function allowNetOf(file: string): readonly string[] | undefined {
  const capabilities = JSON.parse(readFileSync(file, 'utf8')) as { readonly allow_net?: unknown } | null;
  const allowNet = capabilities?.allow_net;
  if (allowNet === undefined || allowNet === null) return undefined;
  if (!Array.isArray(allowNet) || !allowNet.every((host) => typeof host === 'string')) {
    throw new Error(`${file}: allow_net is not a list of hosts`);
  }
  return allowNet;
}
