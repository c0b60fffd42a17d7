import { isIP } from 'node:net';

/*
 * IP addresses as bytes and as text (RFC 5952).
 */

const MAPPED = '00000000000000000000ffff';
const GROUPS = 8;

/** Whether sixteen bytes are IPv4 in IPv6. */
export const isMapped = (ip: Buffer): boolean => ip.length === 16 && ip.toString('hex', 0, 12) === MAPPED;

/** The four bytes of IPv4 in IPv6, other addresses as they are. */
export const withoutMapping = (ip: Buffer): Buffer => (isMapped(ip) ? ip.subarray(12) : ip);

/** Four or sixteen bytes. Undefined for what is no address, and for one with a zone. */
export function ipBytes(text: string): Buffer | undefined {
  const version = text.includes('%') ? 0 : isIP(text);
  if (version === 0) return undefined;
  if (version === 4) return Buffer.from(text.split('.').map(Number));
  const hexadecimal = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...octets: readonly string[]) => {
    const hex = Buffer.from(octets.slice(0, 4).map(Number)).toString('hex');
    return `${hex.slice(0, 4)}:${hex.slice(4)}`;
  });
  const [head = [], tail = []] = hexadecimal.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const groups = [...head, ...Array<string>(GROUPS - head.length - tail.length).fill('0'), ...tail];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** IPv4 in IPv6 is spelled as IPv4. */
export function ipText(ip: Buffer): string {
  const bytes = withoutMapping(ip);
  if (bytes.length === 4) return [...bytes].join('.');
  const groups = Array.from({ length: GROUPS }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  const zeros = longestZeros(groups);
  if (zeros === undefined) return groups.join(':');
  return `${groups.slice(0, zeros.start).join(':')}::${groups.slice(zeros.end).join(':')}`;
}

/** The first of the longest runs of at least two zeros. */
function longestZeros(groups: readonly string[]): { readonly start: number; readonly end: number } | undefined {
  let best = { start: 0, end: 1 };
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === '0') end++;
    if (end - start > best.end - best.start) best = { start, end };
    if (end > start) start = end;
  }
  return best.end - best.start < 2 ? undefined : best;
}
