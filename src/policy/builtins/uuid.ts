import { dump } from '../../values/dump.ts';
import { number } from '../../values/number.ts';
import { RegoObject, type Value } from '../../values/value.ts';
import type { Builtin, BuiltinContext } from './builtin.ts';
import { stringAt } from './operands.ts';

/*
 * UUIDs (RFC 9562). https://www.openpolicyagent.org/docs/policy-reference/builtins/uuid
 */

/** A random one (version 4), the same for the same key within one evaluation. */
function random(ctx: BuiltinContext, key: Value): Value {
  const memoKey = `uuid.rfc4122:${dump(key)}`;
  const known = ctx.memo.get(memoKey);
  if (known !== undefined) return known;
  const bytes = Buffer.from(ctx.random(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  ctx.memo.set(memoKey, uuid);
  return uuid;
}

const GROUPS = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** 100 ns units between 1582-10-15 and 1970-01-01 (RFC 9562, 5.1). */
const GREGORIAN_OFFSET = 122_192_928_000_000_000n;

/** Four spellings: plain, `urn:uuid:`, in braces, without hyphens. */
function hexOf(text: string): string | undefined {
  let groups = text;
  if (text.length === 45 && text.slice(0, 9).toLowerCase() === 'urn:uuid:') groups = text.slice(9);
  else if (text.length === 38) groups = text.slice(1, 37);
  else if (text.length === 32 && /^[0-9a-f]{32}$/i.test(text)) return text.toLowerCase();
  return GROUPS.test(groups) ? groups.replaceAll('-', '').toLowerCase() : undefined;
}

function variantOf(byte: number): string {
  if ((byte & 0xc0) === 0x80) return 'RFC4122';
  if ((byte & 0xe0) === 0xc0) return 'Microsoft';
  return (byte & 0xe0) === 0xe0 ? 'Future' : 'Reserved';
}

function macVariables(byte: number): string {
  return `${byte & 0b10 ? 'local' : 'global'}:${byte & 0b01 ? 'multicast' : 'unicast'}`;
}

const DOMAINS: readonly string[] = ['Person', 'Group', 'Org'];

function parse(text: string): Value | undefined {
  const hex = hexOf(text);
  if (hex === undefined) return undefined;
  const bytes = Buffer.from(hex, 'hex');
  const version = bytes.readUInt8(6) >> 4;
  const fields: { [name: string]: Value } = { version, variant: variantOf(bytes.readUInt8(8)) };
  if (version === 1 || version === 2) {
    const high = BigInt(bytes.readUInt16BE(6) & 0x0fff);
    const time = (high << 48n) | (BigInt(bytes.readUInt16BE(4)) << 32n) | BigInt(bytes.readUInt32BE(0));
    fields['time'] = number((time - GREGORIAN_OFFSET) * 100n);
    fields['nodeid'] = (hex.slice(20).match(/../g) ?? []).join('-');
    fields['macvariables'] = macVariables(bytes.readUInt8(10));
    fields['clocksequence'] = bytes.readUInt16BE(8) & 0x3fff;
  }
  if (version === 2) {
    const domain = bytes.readUInt8(9);
    fields['id'] = bytes.readUInt32BE(0);
    fields['domain'] = DOMAINS[domain] ?? `Domain${domain}`;
  }
  return RegoObject.from(fields);
}

export const uuidBuiltins: readonly Builtin[] = [
  { name: 'uuid.rfc4122', arity: 1, run: (ctx, key = null) => random(ctx, key) },
  { name: 'uuid.parse', arity: 1, run: (_ctx, text) => parse(stringAt(1, text)) },
];
