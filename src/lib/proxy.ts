import { BlockList, isIP, isIPv4 } from 'node:net';

type Env = { readonly [name: string]: string | undefined };

/** The environment names a proxy that cannot be used. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
}

/**
 * The proxy for requests to `url`, by HTTP_PROXY, HTTPS_PROXY and NO_PROXY as OPA's HTTP client reads them
 * (https://pkg.go.dev/golang.org/x/net/http/httpproxy): names (with what is below them), `.DOMAIN` and `*.DOMAIN` (only
 * what is below), addresses, networks, each of names and addresses with a port or without, and `*`. Loopback is never
 * asked through a proxy. Throws ProxyError.
 */
export function proxyFor(url: URL, env: Env): URL | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const text = variable(env, name);
  if (text === undefined || isDirect(url, variable(env, 'NO_PROXY') ?? '')) return undefined;
  const proxy = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (proxy === null || proxy.hostname === '') throw new ProxyError(`${name} is no address of a proxy`);
  if (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') {
    throw new ProxyError(`${name} names a proxy of a kind that is not supported (${proxy.protocol.slice(0, -1)})`);
  }
  return proxy;
}

const variable = (env: Env, name: string): string | undefined => env[name] || env[name.toLowerCase()] || undefined;

const bare = (host: string): string => host.replace(/^\[|\]$/g, '');

function isDirect(url: URL, noProxy: string): boolean {
  const host = bare(url.hostname).toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  if (host === 'localhost' || isWithin(host, '127.0.0.0', 8) || host === '::1') return true;
  return noProxy
    .toLowerCase()
    .split(',')
    .map((entry) => entry.trim())
    .some((entry) => entry !== '' && covers(entry, host, port));
}

function covers(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, network = '', bits = ''] = /^(.+)\/([0-9]{1,3})$/.exec(entry) ?? [];
  if (isIP(network) !== 0) return isWithin(host, network, Number(bits));
  const [, name = '', only] =
    isIP(entry) === 0 ? (/^(\[[^\]]+\]|[^:]*)(?::([0-9]+))?$/.exec(entry) ?? []) : ['', entry];
  const wanted = bare(name).replace(/^\*(?=\.)/, '');
  if (wanted === '' || (only !== undefined && only !== port)) return false;
  if (wanted.startsWith('.')) return host.endsWith(wanted);
  return host === wanted || (isIP(wanted) === 0 && host.endsWith(`.${wanted}`));
}

function isWithin(host: string, network: string, bits: number): boolean {
  const family = (address: string): 'ipv4' | 'ipv6' => (isIPv4(address) ? 'ipv4' : 'ipv6');
  if (isIP(host) === 0 || bits > (isIPv4(network) ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, bits, family(network));
  return list.check(host, family(host));
}
