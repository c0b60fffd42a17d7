import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { emptyObject, parseExact } from '../values/json.ts';

/** A multipart body that does not follow RFC 2046 section 5.1. */
export class MultipartError extends Error {
  override readonly name = 'MultipartError';
}

const MAX_PARTS = 1000;

/** The parameters of a header such as Content-Type or Content-Disposition (RFC 2045 section 5.1), names in lower case. */
export function headerParameters(header: string): { readonly value: string; readonly parameters: Map<string, string> } {
  const parameters = new Map<string, string>();
  const cut = header.indexOf(';');
  const value = (cut < 0 ? header : header.slice(0, cut)).trim().toLowerCase();
  if (cut < 0) return { value, parameters };
  const pattern = /\s*;\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*/gy;
  pattern.lastIndex = cut;
  let end = cut;
  for (let match = pattern.exec(header); match !== null; match = pattern.exec(header)) {
    const name = (match[1] ?? '').toLowerCase();
    if (parameters.has(name)) throw new MultipartError('duplicate parameter');
    parameters.set(name, match[2] === undefined ? (match[3] ?? '') : match[2].replace(/\\(.)/g, '$1'));
    end = pattern.lastIndex;
  }
  if (header.slice(end).replace(/[\s;]/g, '') !== '') throw new MultipartError('malformed parameter');
  return { value, parameters };
}

/** Form fields by name; each value is a string, or JSON where the part says so. Throws MultipartError, SyntaxError. */
export function parseMultipart(body: string, boundary: string): JsonObject {
  const values: MutableJsonObject = emptyObject();
  for (const part of partsOf(body, boundary)) {
    const disposition = headerParameters(part.headers.get('content-disposition') ?? '');
    const name = disposition.value === 'form-data' ? (disposition.parameters.get('name') ?? '') : '';
    if (name === '') continue;
    const isJson = (part.headers.get('content-type') ?? '').includes('application/json');
    const value: Json = isJson ? parseExact(part.content) : part.content;
    const list = values[name];
    if (Array.isArray(list)) (list as Json[]).push(value);
    else values[name] = [value];
  }
  return values;
}

type Part = { readonly headers: ReadonlyMap<string, string>; readonly content: string };

function partsOf(body: string, boundary: string): Part[] {
  const parts: Part[] = [];
  const dash = `--${boundary}`;
  let at = body.startsWith(dash) ? 0 : body.indexOf(`\n${dash}`) + 1;
  if (at === 0 && !body.startsWith(dash)) throw new MultipartError('no boundary');
  for (;;) {
    at += dash.length;
    if (body.startsWith('--', at)) return parts;
    const lineEnd = body.indexOf('\n', at);
    if (lineEnd < 0 || body.slice(at, lineEnd).trim() !== '') throw new MultipartError('malformed boundary line');
    if (parts.length === MAX_PARTS) throw new MultipartError(`more than ${MAX_PARTS} parts`);
    const { headers, contentAt } = readHeaders(body, lineEnd + 1);
    const next = nextBoundary(body, contentAt, dash);
    if (next === undefined) throw new MultipartError('part without an end');
    parts.push({ headers, content: body.slice(contentAt, next.contentEnd) });
    at = next.at;
  }
}

function nextBoundary(body: string, from: number, dash: string): { contentEnd: number; at: number } | undefined {
  if (body.startsWith(dash, from)) return { contentEnd: from, at: from };
  for (let search = from; ; ) {
    const newline = body.indexOf(`\n${dash}`, search);
    if (newline < 0) return undefined;
    const after = body.slice(newline + 1 + dash.length, newline + 3 + dash.length);
    if (after === '' || after.startsWith('--') || /^[ \t\r\n]/.test(after)) {
      const contentEnd = newline > from && body[newline - 1] === '\r' ? newline - 1 : newline;
      return { contentEnd: Math.max(from, contentEnd), at: newline + 1 };
    }
    search = newline + 1;
  }
}

function readHeaders(body: string, from: number): { headers: Map<string, string>; contentAt: number } {
  const headers = new Map<string, string>();
  let at = from;
  for (;;) {
    const newline = body.indexOf('\n', at);
    if (newline < 0) throw new MultipartError('part without an end');
    const line = body.slice(at, newline).replace(/\r$/, '');
    at = newline + 1;
    if (line === '') return { headers, contentAt: at };
    const colon = line.indexOf(':');
    if (colon <= 0) throw new MultipartError('malformed part header');
    const name = line.slice(0, colon).toLowerCase();
    if (!headers.has(name)) headers.set(name, line.slice(colon + 1).trim());
  }
}
