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
  const isGood = text.includes(':') ? !text.includes('%') && ipaddr.IPv6.isValid(text) : DECIMAL_OCTETS.test(text);
  if (!isGood || (!text.includes(':') && !ipaddr.IPv4.isValid(text))) return undefined;
  const address = ipaddr.process(text);
  const bytes = address.toByteArray();
  return { value: BigInt(`0x${Buffer.from(bytes).toString('hex')}`), bits: bytes.length === 4 ? 32 : 128 };
}

function parseNetwork(text: string): Network | undefined {
  const [, host = '', length = ''] = /^([^/]*)\/(\d{1,3})$/.exec(text) ?? [];
  const address = parseAddress(host);
  if (address === undefined || (length.length > 1 && length.startsWith('0'))) return undefined;
  const bits = host.includes(':') ? 128 : 32;
  const prefix = Number(length);
  if (prefix > bits) return undefined;
  const value = address.bits === bits ? address.value : address.value | (0xffffn << 32n);
  const hostBits = BigInt(bits - prefix);
  return { first: (value >> hostBits) << hostBits, prefix, bits };
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
