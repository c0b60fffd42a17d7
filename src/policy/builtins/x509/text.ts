import { isUtf8 } from 'node:buffer';
import { HaltError } from '../builtin.ts';

/*
 * Text that may be PEM (RFC 7468) or base64, read as leniently as Go's encoding/pem and encoding/base64 do. Byte
 * strings have one character for each byte.
 */

/** The most UTF-16 units of certificates or keys that are read at once. */
const MAX_ENCODED_CHARS = 1_048_576;

/** Bytes as text, each byte that is not UTF-8 as U+FFFD. */
export function textOf(bytes: Buffer | string): string {
  const source = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
  if (isUtf8(source)) return source.toString('utf8');
  let text = '';
  for (let at = 0; at < source.length; ) {
    const length = [1, 2, 3, 4].find((n) => at + n <= source.length && isUtf8(source.subarray(at, at + n))) ?? 0;
    text += length === 0 ? '\ufffd' : source.toString('utf8', at, at + length);
    at += Math.max(length, 1);
  }
  return text;
}

/** Throws HaltError when there is more text than is read at once. */
export function checkEncoded(text: string): string {
  if (text.length > MAX_ENCODED_CHARS) {
    throw new HaltError('eval_limit_error', `more than ${MAX_ENCODED_CHARS} characters of certificates or keys`);
  }
  return text;
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Padded base64, line ends allowed anywhere. Undefined when it is something else. */
export function decodeBase64(text: string): Buffer | undefined {
  const joined = text.replace(/[\r\n]/g, '');
  return joined.length % 4 === 0 && BASE64.test(joined) ? Buffer.from(joined, 'base64') : undefined;
}

export type PemBlock = { readonly type: string; readonly bytes: Buffer };

const BEGIN = '-----BEGIN ';
const END = '\n-----END ';
const DASHES = '-----';

type Line = { readonly line: string; readonly next: number };

function lineAt(text: string, at: number): Line {
  const end = text.indexOf('\n', at);
  const next = end < 0 ? text.length : end + 1;
  let stop = end < 0 ? text.length : end;
  if (end > at && text.charAt(stop - 1) === '\r') stop--;
  while (stop > at && (text.charAt(stop - 1) === ' ' || text.charAt(stop - 1) === '\t')) stop--;
  return { line: text.slice(at, stop), next };
}

/** The first block at or after `from`, and where it ends. Undefined when there is none. */
export function nextPem(text: string, from = 0): { readonly block: PemBlock; readonly next: number } | undefined {
  let start = from;
  for (;;) {
    const end = text.indexOf(END, start);
    if (end < 0) return undefined;
    const begin = text.slice(start, end).lastIndexOf(BEGIN);
    const isLineStart = begin === 0 || (begin > 0 && text.charAt(start + begin - 1) === '\n');
    const found = isLineStart ? blockAt(text, start + begin, end) : undefined;
    if (found !== undefined) return found;
    start = end + END.length;
  }
}

function blockAt(text: string, begin: number, end: number): ReturnType<typeof nextPem> {
  const first = lineAt(text, begin + BEGIN.length);
  if (!first.line.endsWith(DASHES)) return undefined;
  const type = first.line.slice(0, -DASHES.length);
  let body = first.next;
  for (;;) {
    if (body >= text.length) return undefined;
    const { line, next } = lineAt(text, body);
    if (!line.includes(':')) break;
    body = next;
  }
  // Header lines with nothing after them are no block.
  if (body > first.next && body > end) return undefined;
  const trailer = end + END.length;
  const afterTrailer = trailer + type.length + DASHES.length;
  if (text.slice(trailer, afterTrailer) !== type + DASHES) return undefined;
  const rest = lineAt(text, afterTrailer);
  if (rest.line !== '') return undefined;
  const bytes = body > end ? Buffer.alloc(0) : decodeBase64(text.slice(body, end).replace(/[ \t]/g, ''));
  return bytes === undefined ? undefined : { block: { type, bytes }, next: rest.next };
}
