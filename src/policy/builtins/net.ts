import ipaddr from 'ipaddr.js';
import { isArray, RegoObject, RegoSet, type Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError, checkMembers, MAX_RESULT_MEMBERS } from './builtin.ts';
import { stringAt } from './operands.ts';

/*
 * Networks in CIDR notation. https://www.openpolicyagent.org/docs/policy-reference/builtins/net
 */

type Network = { readonly first: bigint; readonly prefix: number; readonly bits: 32 | 128 };

const DECIMAL_OCTETS = /^(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})$/;

/** Go's net.ParseIP: four plain decimal octets, or IPv6 without a zone; IPv4 in IPv6 is IPv4. */
function parseAddress(text: string): { readonly value: bigint; readonly bits: 32 | 128 } | undefined {
  if (!text.includes(':')) {
    return DECIMAL_OCTETS.test(text) && ipaddr.IPv4.isValid(text) ? addressOf(ipaddr.IPv4.parse(text)) : undefined;
  }
  const plain = withoutOctets(text);
  return plain !== undefined && ipaddr.IPv6.isValid(plain) ? addressOf(ipaddr.process(plain)) : undefined;
}

/** An IPv6 address whose end is not written as IPv4: the package takes `::10.0.0.1` for `::ffff:10.0.0.1`. */
function withoutOctets(text: string): string | undefined {
  if (text.includes('%')) return undefined;
  if (!text.includes('.')) return text;
  const cut = text.lastIndexOf(':') + 1;
  const octets = text.slice(cut);
  if (!DECIMAL_OCTETS.test(octets) || !ipaddr.IPv4.isValid(octets)) return undefined;
  const hex = Buffer.from(ipaddr.IPv4.parse(octets).octets).toString('hex');
  return `${text.slice(0, cut)}${hex.slice(0, 4)}:${hex.slice(4)}`;
}

function addressOf(address: ipaddr.IPv4 | ipaddr.IPv6): { readonly value: bigint; readonly bits: 32 | 128 } {
  const bytes = address.toByteArray();
  return { value: BigInt(`0x${Buffer.from(bytes).toString('hex')}`), bits: bytes.length === 4 ? 32 : 128 };
}

/** Go's net.ParseCIDR; a network of IPv4 addresses in IPv6 is one of IPv4, as Go compares it. */
function parseNetwork(text: string): Network | undefined {
  const [, host = '', length = ''] = /^([^/]*)\/(\d{1,9})$/.exec(text) ?? [];
  const address = parseAddress(host);
  if (address === undefined) return undefined;
  const bits = host.includes(':') ? 128 : 32;
  const prefix = Number(length);
  if (prefix > bits) return undefined;
  const isMapped = bits === 128 && address.bits === 32;
  if (isMapped && prefix >= MAPPED_BITS) return network(address.value, prefix - MAPPED_BITS, 32);
  return network(isMapped ? address.value | (0xffffn << 32n) : address.value, prefix, bits);
}

/** The part of an IPv6 address that makes it an IPv4 one (RFC 4291 section 2.5.5.2). */
const MAPPED_BITS = 96;

function network(address: bigint, prefix: number, bits: 32 | 128): Network {
  const hostBits = BigInt(bits - prefix);
  return { first: (address >> hostBits) << hostBits, prefix, bits };
}

function networkOf(text: string): Network {
  const network = parseNetwork(text);
  if (network === undefined) throw new BuiltinError(`invalid CIDR address: ${text.slice(0, 100)}`);
  return network;
}

const last = ({ first, prefix, bits }: Network): bigint => first + (1n << BigInt(bits - prefix)) - 1n;

/** Whether `outer` contains an address or a network. */
function contains(outer: string, inner: string): boolean {
  const network = networkOf(outer);
  const address = parseAddress(inner);
  if (address !== undefined) {
    return address.bits === network.bits && address.value >= network.first && address.value <= last(network);
  }
  const other = networkOf(inner);
  return other.bits === network.bits && other.first >= network.first && last(other) <= last(network);
}

/** Whether either network holds the first address of the other. */
function intersects(a: string, b: string): boolean {
  const [left, right] = [networkOf(a), networkOf(b)];
  return left.bits === right.bits && left.first <= last(right) && right.first <= last(left);
}

type Indexed = readonly [cidr: string, index: Value];

/** Networks with what names them: their index, themselves, or their key. A member may be an array that begins with one. */
function indexed(position: number, value: Value): readonly Indexed[] {
  const cidrOf = (member: Value): string => {
    if (typeof member === 'string') return member;
    if (isArray(member) && typeof member[0] === 'string') return member[0];
    throw new BuiltinError(`operand ${position}: element must be string or non-empty array`);
  };
  if (typeof value === 'string') return [[value, value]];
  if (isArray(value)) return value.map((member, i) => [cidrOf(member), i]);
  if (value instanceof RegoSet) return value.sorted().map((member) => [cidrOf(member), member]);
  return value instanceof RegoObject ? value.sorted().map(([key, member]) => [cidrOf(member), key]) : [];
}

function containsMatches(ctx: BuiltinContext, outer: Value, inner: Value): RegoSet {
  const matches: Value[] = [];
  const others = indexed(2, inner);
  for (const [network, index] of indexed(1, outer)) {
    for (const [cidr, otherIndex] of others) {
      ctx.checkDeadline();
      if (contains(network, cidr)) checkMembers(matches.push([index, otherIndex]));
    }
  }
  return new RegoSet(matches);
}

function addressText(value: bigint, bits: 32 | 128): string {
  const bytes = Buffer.from(value.toString(16).padStart(bits / 4, '0'), 'hex');
  const address = ipaddr.fromByteArray([...bytes]);
  // RFC 5952: the longest run of zeros is shortened.
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
}

function expand(ctx: BuiltinContext, text: string): RegoSet {
  const network = networkOf(text);
  const count = 1n << BigInt(network.bits - network.prefix);
  checkMembers(count > BigInt(MAX_RESULT_MEMBERS) ? Number.POSITIVE_INFINITY : Number(count));
  const addresses = Array.from({ length: Number(count) }, (_, i) => {
    ctx.checkDeadline();
    return addressText(network.first + BigInt(i), network.bits);
  });
  return new RegoSet(addresses);
}

/** What a bare IPv4 address stands for in net.cidr_merge: its class's network (Go, IP.DefaultMask). */
function classPrefix(address: bigint): number {
  const first = address >> 24n;
  if (first < 128n) return 8;
  return first < 192n ? 16 : 24;
}

type Range = { readonly first: bigint; readonly last: bigint; readonly bits: 32 | 128; readonly network?: string };

function mergeable(value: Value): Range {
  const text = stringAt(1, value);
  const address = parseAddress(text);
  if (address !== undefined && address.bits === 128) throw new BuiltinError('IPv6 invalid: needs prefix length');
  if (address !== undefined) {
    const prefix = classPrefix(address.value);
    const hostBits = BigInt(32 - prefix);
    const first = (address.value >> hostBits) << hostBits;
    return {
      first,
      last: first + (1n << hostBits) - 1n,
      bits: 32,
      network: `${addressText(address.value, 32)}/${prefix}`,
    };
  }
  const network = networkOf(text);
  const spelled = `${addressText(network.first, network.bits)}/${network.prefix}`;
  return { first: network.first, last: last(network), bits: network.bits, network: spelled };
}

/** The fewest networks that cover the same addresses. */
function merge(ctx: BuiltinContext, list: Value): RegoSet {
  const members = list instanceof RegoSet ? list.sorted() : list;
  if (!isArray(members)) throw new BuiltinError('operand must be an array');
  const ranges = members.map(mergeable).sort((a, b) => {
    if (a.bits !== b.bits) return a.bits - b.bits;
    if (a.first !== b.first) return a.first < b.first ? -1 : 1;
    return a.last < b.last ? -1 : a.last > b.last ? 1 : 0;
  });
  const merged: Range[] = [];
  for (const range of ranges) {
    ctx.checkDeadline();
    const before = merged.at(-1);
    if (before === undefined || before.bits !== range.bits || range.first > before.last + 1n) merged.push(range);
    else {
      const { last: end } = range.last > before.last ? range : before;
      merged[merged.length - 1] = { first: before.first, last: end, bits: range.bits };
    }
  }
  return new RegoSet(merged.flatMap((range) => (range.network === undefined ? networksOf(range) : [range.network])));
}

function networksOf({ first, last: end, bits }: Range): readonly string[] {
  const networks: string[] = [];
  let from = first;
  while (from <= end) {
    let hostBits = 0;
    while (
      hostBits < bits &&
      from % (1n << BigInt(hostBits + 1)) === 0n &&
      from + (1n << BigInt(hostBits + 1)) - 1n <= end
    ) {
      hostBits++;
    }
    networks.push(`${addressText(from, bits)}/${bits - hostBits}`);
    from += 1n << BigInt(hostBits);
  }
  return networks;
}

/** Every address of a host. */
function lookUp(ctx: BuiltinContext, host: string): Value {
  const address = parseAddress(host);
  if (address !== undefined) return new RegoSet([addressText(address.value, address.bits)]);
  const addresses = ctx.outside(
    `net.lookup_ip_addr ${host}`,
    async () => new RegoSet(await ctx.network().lookup(host)),
  );
  return addresses ?? null;
}

export const netBuiltins: readonly Builtin[] = [
  { name: 'net.cidr_contains', arity: 2, run: (_ctx, a, b) => contains(stringAt(1, a), stringAt(2, b)) },
  { name: 'net.cidr_intersects', arity: 2, run: (_ctx, a, b) => intersects(stringAt(1, a), stringAt(2, b)) },
  { name: 'net.cidr_contains_matches', arity: 2, run: (ctx, a = null, b = null) => containsMatches(ctx, a, b) },
  { name: 'net.cidr_expand', arity: 1, run: (ctx, cidr) => expand(ctx, stringAt(1, cidr)) },
  {
    name: 'net.cidr_is_valid',
    arity: 1,
    run: (_ctx, cidr) => typeof cidr === 'string' && parseNetwork(cidr) !== undefined,
  },
  { name: 'net.cidr_merge', arity: 1, run: (ctx, list = null) => merge(ctx, list) },
  { name: 'net.lookup_ip_addr', arity: 1, run: (ctx, host) => lookUp(ctx, stringAt(1, host)) },
];
