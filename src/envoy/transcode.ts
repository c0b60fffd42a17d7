import { MARK, type Place, type StringMap } from '../model/facts.ts';
import type { Reads } from '../model/reads.ts';
import { NAME_SLOTS, type Name, type Plan, placeAt, type Step } from './message-plan.ts';
import { type Cursor, readLength, readTag, readText, skipField, WireError } from './wire.ts';

/*
 * Message bytes straight to JSON text, without a tree in between, for messages in the form in which proxies write them: no
 * field twice, keys before values, strings of any kind but of moderate length. What is not of this form is left to
 * decode.ts, which is slower and says what the text has to be.
 */

/** Longest message that is read here, bytes. */
const MAX_BYTES = 65_536;
/** Names of fields are written once each, and a string takes no more than twice its bytes, or it is looked at. */
const NAMES_BYTES = 8192;
const out = Buffer.alloc(2 * MAX_BYTES + 2 * NAMES_BYTES);

const MAX_KEYS = 128;
const hashes = new Int32Array(MAX_KEYS);

const OPEN = 0x7b;
const CLOSE = 0x7d;
const COMMA = 0x2c;
const COLON = 0x3a;
const QUOTE = 0x22;
const KEY_TAG = 0x0a;
const VALUE_TAG = 0x12;

/** JSON writes it in another way, or it is no ASCII. */
const ESCAPED = 1;
/** What a secret may begin with, or be in: assignments, escapes, addresses, what follows the name of a scheme. */
const SUSPECT = 2;
/** Letters of `ey` and `ew`, in any case, with which base64 of a JSON object begins. */
const FIRST = 4;
const SECOND = 8;
const BASE64 = FIRST | SECOND;
const kinds = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const character = String.fromCharCode(byte);
  if (byte < 0x20 || byte >= 0x80 || character === '"' || character === '\\') kinds[byte] = ESCAPED;
  if ('=%@+ '.includes(character)) kinds[byte] = SUSPECT;
  if ('eE'.includes(character)) kinds[byte] = FIRST;
  if ('yYwW'.includes(character)) kinds[byte] = SECOND;
}

/** The message is none of those that are read here. */
class Unusual extends Error {}
const unusual = new Unusual('unusual');

type Scan = Cursor & {
  /** How much of `out` is written, bytes, and how many more these are than characters. */
  to: number;
  surplus: number;
  /** Undefined when nobody asks where strings are. */
  readonly places: Place[] | undefined;
  readonly spans: number[];
};

export type Transcoded = { readonly text: string; readonly strings: StringMap };

/** The whole message; undefined when it is unusual, or none at all. */
export function transcode(bytes: Buffer, plan: Plan): Transcoded | undefined {
  if (bytes.length > MAX_BYTES) return undefined;
  const places: Place[] = [];
  const scan: Scan = { bytes, at: 0, to: 0, surplus: 0, places, spans: [] };
  try {
    writeMessage(scan, bytes.length, plan, true);
  } catch (error) {
    if (error instanceof Unusual || error instanceof WireError) return undefined;
    throw error;
  }
  return { text: written(scan), strings: { places, spans: scan.spans } };
}

/** What is read of a message that `transcode` has read as a whole. */
export function transcodeRead(bytes: Buffer, plan: Plan, reads: Reads): string {
  const scan: Scan = { bytes, at: 0, to: 0, surplus: 0, places: undefined, spans: [] };
  writeMessage(scan, bytes.length, plan, reads);
  return written(scan);
}

const written = ({ to, surplus }: Scan): string =>
  surplus === 0 ? out.toString('latin1', 0, to) : out.toString('utf8', 0, to);

const readOf = (reads: Reads, name: string): Reads | undefined =>
  reads === true ? true : Object.hasOwn(reads, name) ? reads[name] : undefined;

function writeMessage(scan: Scan, end: number, plan: Plan, reads: Reads): void {
  let seen = 0;
  out[scan.to++] = OPEN;
  while (scan.at < end) {
    const tag = readTag(scan);
    const step = plan[tag >>> 3];
    if (step === undefined || step.wireType !== (tag & 7)) {
      skipField(scan, tag, end, 0);
      continue;
    }
    const wanted = readOf(reads, step.name);
    if (wanted === undefined) {
      skipField(scan, tag, end, 0);
      continue;
    }
    if ((seen & step.excludes) !== 0) throw unusual;
    seen |= step.bit;
    writeField(scan, tag, end, step, wanted);
  }
  if (scan.at !== end) throw new WireError('field longer than its message');
  out[scan.to++] = CLOSE;
}

function writeField(scan: Scan, tag: number, end: number, step: Step, reads: Reads): void {
  switch (step.kind) {
    case 'string': {
      const to = readLength(scan, end);
      if (to === scan.at && !step.explicitPresence) return;
      writeHead(scan, step.head);
      writeText(scan, to, step.place);
      return;
    }
    case 'number': {
      const value = step.read(scan);
      if (typeof value === 'bigint') throw unusual;
      if (Number(value) === 0 && !step.explicitPresence) return;
      writeHead(scan, step.head);
      writeAscii(scan, String(value));
      return;
    }
    case 'message':
      writeHead(scan, step.head);
      writeMessage(scan, readLength(scan, end), step.plan, reads);
      return;
    case 'map':
      writeHead(scan, step.head);
      writeMap(scan, tag, end, step, reads);
      return;
    case 'other':
      throw unusual;
  }
}

/** All entries of a map; they stand one behind the other. */
function writeMap(scan: Scan, tag: number, end: number, step: Step & { readonly kind: 'map' }, reads: Reads): void {
  let keys = 0;
  out[scan.to++] = OPEN;
  for (;;) {
    const entryEnd = readLength(scan, end);
    const before = scan.to;
    if (scan.bytes[scan.at++] !== KEY_TAG || keys === MAX_KEYS) throw unusual;
    const { hash, place, text } = writeKey(scan, readLength(scan, entryEnd), step);
    // Two keys with one hash may be the same.
    for (let i = 0; i < keys; i++) if (hashes[i] === hash) throw unusual;
    hashes[keys++] = hash;
    if (scan.bytes[scan.at++] !== VALUE_TAG || readLength(scan, entryEnd) !== entryEnd) throw unusual;
    if (readOf(reads, text) === undefined) {
      scan.to = before;
      scan.at = entryEnd;
    } else writeText(scan, entryEnd, place);
    if (scan.bytes[scan.at] !== tag || scan.at >= end) break;
    scan.at++;
  }
  out[scan.to++] = CLOSE;
}

/** With the colon behind it. Goes behind the key. */
function writeKey(scan: Scan, end: number, { names, place }: Step & { readonly kind: 'map' }): Name {
  const { bytes } = scan;
  const start = scan.at;
  writeComma(scan);
  out[scan.to++] = QUOTE;
  const ahead = scan.to - start;
  let hash = end - start;
  let mark = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    mark |= kinds[byte] as number;
    hash = (Math.imul(hash, 31) + byte) | 0;
    out[i + ahead] = byte;
  }
  if ((mark & ESCAPED) !== 0) throw unusual;
  out[end + ahead] = QUOTE;
  out[end + ahead + 1] = COLON;
  scan.to = end + ahead + 2;
  scan.at = end;
  const slot = (hash ^ (hash >>> 15)) & (NAME_SLOTS - 1);
  const known = names[slot];
  if (known !== undefined && known.hash === hash && isAt(known.text, bytes, start, end)) return known;
  const text = bytes.toString('latin1', start, end);
  const name: Name = { text, hash, place: placeAt([...place.path, text], place.fact) };
  names[slot] = name;
  return name;
}

function isAt(text: string, bytes: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false;
  return true;
}

function writeComma(scan: Scan): void {
  if (out[scan.to - 1] !== OPEN) out[scan.to++] = COMMA;
}

function writeHead(scan: Scan, head: Uint8Array): void {
  writeComma(scan);
  const { to } = scan;
  const { length } = head;
  for (let i = 0; i < length; i++) out[to + i] = head[i] as number;
  scan.to = to + length;
}

function writeAscii(scan: Scan, text: string): void {
  const { to } = scan;
  for (let i = 0; i < text.length; i++) out[to + i] = text.charCodeAt(i);
  scan.to = to + text.length;
}

/** The string from here to `end`, quoted. */
function writeText(scan: Scan, end: number, place: Place): void {
  const { bytes, places, to: start, at } = scan;
  let mark = 0;
  out[start] = QUOTE;
  const ahead = start + 1 - at;
  for (let i = at; i < end; i++) {
    const byte = bytes[i] as number;
    mark |= kinds[byte] as number;
    out[i + ahead] = byte;
  }
  const from = start - scan.surplus;
  if ((mark & ESCAPED) === 0) {
    out[end + ahead] = QUOTE;
    scan.to = end + ahead + 1;
    scan.at = end;
  } else writeEscaped(scan, end);
  if (places === undefined) return;
  places.push(place);
  scan.spans.push(from, scan.to - scan.surplus, markOf(mark));
}

function markOf(kind: number): number {
  if ((kind & ESCAPED) !== 0) return MARK.escaped;
  return (kind & SUSPECT) !== 0 || (kind & BASE64) === BASE64 ? MARK.suspect : MARK.plain;
}

/** The same when the bytes cannot stand in JSON as they are. */
function writeEscaped(scan: Scan, end: number): void {
  const left = out.length - scan.to - 2 * (scan.bytes.length - end) - NAMES_BYTES;
  const text = JSON.stringify(readText(scan, end));
  if (Buffer.byteLength(text) > left) throw unusual;
  const length = out.write(text, scan.to);
  scan.to += length;
  scan.surplus += length - text.length;
}
