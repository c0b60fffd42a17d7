import { ipBytes, withoutMapping } from './ip.ts';
import type { Certificate } from './model.ts';

/*
 * Whether a certificate is for a host (RFC 6125 section 6.4). Common names do not count.
 */

const BRACKETED = /^\[.+\]$/s;

/** For a host name, or an IP address, perhaps in brackets. */
export function isForHost(certificate: Certificate, host: string): boolean {
  const { dns, ips } = certificate.alternativeNames;
  const address = ipBytes(BRACKETED.test(host) ? host.slice(1, -1) : host);
  if (address !== undefined) return ips.some((ip) => withoutMapping(ip).equals(withoutMapping(address)));
  const name = asciiLowerCase(host);
  const isGood = isHostName(name.endsWith('.') ? name.slice(0, -1) : name, false);
  return dns.some((pattern) => (isGood && isHostName(pattern, true) ? matches(pattern, name) : isSame(pattern, name)));
}

const asciiLowerCase = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

const LABEL = /^[A-Za-z0-9_][A-Za-z0-9_-]*$/;

function isHostName(name: string, isPattern: boolean): boolean {
  if (name === '*') return false;
  return name.split('.').every((label, i) => LABEL.test(label) || (isPattern && i === 0 && label === '*'));
}

function matches(pattern: string, name: string): boolean {
  const wanted = asciiLowerCase(pattern).split('.');
  const labels = (name.endsWith('.') ? name.slice(0, -1) : name).split('.');
  if (wanted.length !== labels.length) return false;
  return wanted.every((label, i) => (i === 0 && label === '*') || label === labels[i]);
}

function isSame(pattern: string, name: string): boolean {
  const isNothing = pattern === '' || pattern === '.' || name === '' || name === '.';
  return !isNothing && asciiLowerCase(pattern) === name;
}
