import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { hostMatches } from '../../lib/host-pattern.ts';
import { BuiltinError } from '../builtins/builtin.ts';

/** Which hosts a policy may speak to, and at which addresses. */
export type AllowList = {
  /** Throws BuiltinError when the URL is of another scheme or its host is not on the list. */
  readonly requireUrl: (url: URL) => void;
  /** Throws BuiltinError when no entry has this host. */
  readonly requireHost: (host: string) => void;
  /** Whether a host on the list may be at this address: public ones, and private ones in allowed networks. */
  readonly allowsAddress: (address: string) => boolean;
};

type Entry = { readonly host: string; readonly port: string | undefined };

export type AllowListOptions = {
  /** Names or addresses, with a port if only that one is meant, `*.example.com` for every name below. */
  readonly allowHosts: readonly string[];
  /** CIDRs of private, loopback or link-local addresses that such a host may have. */
  readonly allowPrivate?: readonly string[];
  /** OPA's list, exact and without ports: hosts must be in both. */
  readonly allowNet?: readonly string[] | undefined;
};

/** Throws Error when an entry is malformed. */
export function createAllowList({ allowHosts, allowPrivate = [], allowNet }: AllowListOptions): AllowList {
  const entries = allowHosts.map(readEntry);
  const ranges = allowPrivate.map((network) => ipaddr.parseCIDR(network));
  const names = allowNet?.map(normal);

  const isPublic = (address: string): boolean => ipaddr.process(address).range() === 'unicast';
  const allowsAddress = (address: string): boolean => {
    if (isIP(address) === 0) return false;
    if (isPublic(address)) return true;
    const parsed = ipaddr.process(address);
    return ranges.some(([network, prefix]) => network.kind() === parsed.kind() && parsed.match(network, prefix));
  };
  const isListed = (host: string, port: string | undefined): boolean =>
    (names === undefined || names.includes(host)) &&
    entries.some(
      (entry) =>
        hostMatches(entry.host, host) && (entry.port === undefined || port === undefined || entry.port === port),
    );

  return {
    allowsAddress,
    requireHost: (host) => {
      if (!isListed(normal(host), undefined)) throw new BuiltinError(`disallowed host: ${host.slice(0, 255)}`);
    },
    requireUrl: (url) => {
      if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new BuiltinError('unsupported protocol scheme');
      const host = normal(url.hostname);
      const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
      if (!isListed(host, port)) throw new BuiltinError(`disallowed host: ${host.slice(0, 255)}`);
      // A name is looked up, and its addresses judged, when the connection is made; this is its own address.
      if (isIP(host) !== 0 && !allowsAddress(host)) throw new BuiltinError(`disallowed address: ${host}`);
    },
  };
}

function readEntry(text: string): Entry {
  const [, host, port] = /^(\*\.[^:[\]*/]+|[^:[\]*/]+|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host === undefined) throw new Error(`${text}: a host, host:port or *.domain is expected`);
  return { host: normal(host), port };
}

/** Lower case, without the brackets of an IPv6 address and the dot of the root. */
const normal = (host: string): string => host.toLowerCase().replace(/^\[|\]$|\.$/g, '');
