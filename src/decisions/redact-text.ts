import { type Rule, rootOf, ruleBelow } from './key-rules.ts';
import type { Region } from './regions.ts';
import { MAX_TEXT, REDACTED, SUSPICIOUS_IN_JSON } from './scrub.ts';

/*
 * The same as redacting a document member by member, for JSON text that JSON.stringify has written: most of it is copied
 * as it stands. What is unusual (pairs of name and value, escapes in keys, great depth or size) is left to the other way.
 */

const MAX_CHARS = 65_536;
const MAX_DEPTH = 48;
const MAX_MEMBERS = 2_000;
const MAX_DIGITS = 64;

export type RedactedText = {
  readonly text: string;
  /** JSON pointers, with `root` before them, to where something was replaced. */
  readonly masked: readonly string[];
  /** What was replaced as a whole because of its key, as JSON text. */
  readonly hidden: readonly { readonly key: string; readonly text: string }[];
};

type Scan = {
  readonly text: string;
  readonly root: string;
  readonly suspicious: RegExp;
  readonly path: (string | number)[];
  readonly masked: string[];
  readonly hidden: { readonly key: string; readonly text: string }[];
  at: number;
  out: string;
  copied: number;
  /** Where the next text is that may hold a secret. */
  nextSuspicious: number;
  members: number;
};

class Unusual extends Error {}
const unusual = new Unusual('unusual');

/** Undefined when the text is unusual. */
export function redactText(text: string, region: Region, root: string): RedactedText | undefined {
  if (text.length > MAX_CHARS) return undefined;
  const scan: Scan = {
    ...{ text, root, suspicious: SUSPICIOUS_IN_JSON, path: [], masked: [], hidden: [] },
    ...{ at: 0, out: '', copied: 0, nextSuspicious: -1, members: 0 },
  };
  try {
    readValue(scan, rootOf(region), 0);
    if (scan.at !== text.length) return undefined;
  } catch (error) {
    if (error instanceof Unusual) return undefined;
    throw error;
  }
  return { text: scan.out + text.slice(scan.copied), masked: scan.masked, hidden: scan.hidden };
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const LIST = 0x5b;
const LIST_END = 0x5d;
const BACKSLASH = 0x5c;
const OBJECT = 0x7b;
const OBJECT_END = 0x7d;

function readValue(scan: Scan, rule: Rule, depth: number): void {
  const c = scan.text.charCodeAt(scan.at);
  if (c === QUOTE) readString(scan, rule, depth);
  else if (c === OBJECT) readObject(scan, rule, depth);
  else if (c === LIST) readList(scan, rule, depth);
  else skipPrimitive(scan);
}

function readObject(scan: Scan, rule: Rule, depth: number): void {
  const { text } = scan;
  if (depth >= MAX_DEPTH) throw unusual;
  if (text.charCodeAt(++scan.at) === OBJECT_END) {
    scan.at++;
    return;
  }
  let before: Rule | undefined;
  for (;;) {
    const child = readKey(scan, rule, before);
    if (child.isOdd || ++scan.members > MAX_MEMBERS) throw unusual;
    scan.path[depth] = child.key;
    if (child.isSecret) hide(scan, child, depth);
    else readValue(scan, child, depth + 1);
    if (!goesOn(scan, OBJECT_END)) return;
    before = child;
  }
}

/** Goes behind the colon. */
function readKey(scan: Scan, rule: Rule, before: Rule | undefined): Rule {
  const { text } = scan;
  const start = scan.at + 1;
  const expected = before === undefined ? rule.first : before.next;
  if (expected !== undefined && text.startsWith(expected.quoted, start)) {
    scan.at = start + expected.quoted.length + 1;
    return expected;
  }
  const end = text.indexOf('"', start);
  if (end < 0 || text.charCodeAt(end - 1) === BACKSLASH) throw unusual;
  const child = ruleBelow(rule, text.slice(start, end));
  if (child === undefined) throw unusual;
  if (before === undefined) rule.first = child;
  else before.next = child;
  scan.at = end + 2;
  return child;
}

function readList(scan: Scan, rule: Rule, depth: number): void {
  if (depth >= MAX_DEPTH) throw unusual;
  if (scan.text.charCodeAt(++scan.at) === LIST_END) {
    scan.at++;
    return;
  }
  for (let i = 0; ; i++) {
    if (++scan.members > MAX_MEMBERS) throw unusual;
    scan.path[depth] = i;
    readValue(scan, rule, depth + 1);
    if (!goesOn(scan, LIST_END)) return;
  }
}

function goesOn(scan: Scan, end: number): boolean {
  const c = scan.text.charCodeAt(scan.at++);
  if (c === COMMA) return true;
  if (c !== end) throw unusual;
  return false;
}

function readString(scan: Scan, { region, isTextual }: Rule, depth: number): void {
  const start = scan.at;
  const end = skipString(scan);
  if (isTextual && !isSuspicious(scan, start, end)) return;
  const quoted = scan.text.slice(start, end);
  const value = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
  const clean = region.scrub(value, []);
  if (clean !== value) replace(scan, start, JSON.stringify(clean), depth);
}

/** Whether something between the two places may be, or be a part of, a secret. */
function isSuspicious(scan: Scan, start: number, end: number): boolean {
  if (scan.nextSuspicious < start) {
    // What lies before was skipped, or replaced as a whole.
    scan.suspicious.lastIndex = start;
    scan.nextSuspicious = scan.suspicious.exec(scan.text)?.index ?? Number.POSITIVE_INFINITY;
  }
  return scan.nextSuspicious < end;
}

/** Goes behind the string, and returns where that is. */
function skipString(scan: Scan): number {
  const { text } = scan;
  let end = text.indexOf('"', scan.at + 1);
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  if (end < 0 || end - scan.at > MAX_TEXT) throw unusual;
  scan.at = end + 1;
  return scan.at;
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes++;
  return slashes % 2 === 1;
}

function skipPrimitive(scan: Scan): void {
  const { text } = scan;
  const start = scan.at;
  for (let at = start; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c !== COMMA && c !== OBJECT_END && c !== LIST_END) continue;
    if (at === start || at - start > MAX_DIGITS) throw unusual;
    scan.at = at;
    return;
  }
  scan.at = text.length;
}

/** Replaces the value of a secret key; null and booleans stay. */
function hide(scan: Scan, { key, isCount }: Rule, depth: number): void {
  const { text } = scan;
  const start = scan.at;
  const c = text.charCodeAt(start);
  if (c === QUOTE) skipString(scan);
  else if (c === OBJECT || c === LIST) skipNested(scan);
  else {
    skipPrimitive(scan);
    const isNumber = c === 0x2d || (c >= 0x30 && c <= 0x39);
    if (!isNumber || isCount) return;
  }
  scan.hidden.push({ key, text: text.slice(start, scan.at) });
  replace(scan, start, c === LIST ? `["${REDACTED}"]` : `"${REDACTED}"`, depth + 1);
}

function skipNested(scan: Scan): void {
  const { text } = scan;
  let open = 0;
  for (;;) {
    const c = text.charCodeAt(scan.at);
    if (c === QUOTE) {
      skipString(scan);
      continue;
    }
    scan.at++;
    if (c === OBJECT || c === LIST) open++;
    else if ((c === OBJECT_END || c === LIST_END) && --open === 0) return;
    else if (Number.isNaN(c)) throw unusual;
  }
}

/** Puts `by` where the value from `start` to here was. */
function replace(scan: Scan, start: number, by: string, depth: number): void {
  scan.out += scan.text.slice(scan.copied, start) + by;
  scan.copied = scan.at;
  let pointer = scan.root;
  for (let i = 0; i < depth; i++) pointer += `/${segment(scan.path[i] ?? '')}`;
  scan.masked.push(pointer);
}

/** RFC 6901 section 3. */
export function segment(key: string | number): string {
  if (typeof key === 'number' || (!key.includes('~') && !key.includes('/'))) return String(key);
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
