import { isIP } from 'node:net';
import { compilePattern } from '../patterns.ts';
import { fromBytes, parseUrl, type Url, UrlError } from '../uri/url.ts';
import { isEmailAddress } from './email.ts';

/*
 * `format` of JSON schemas (https://json-schema.org/draft-07/draft-handrews-json-schema-validation-01, section 7), as
 * lenient as OPA's validator is.
 */

const DATE = /^(\d{4})-(\d{2})-(\d{2})/;
/** An hour may have one digit; fractions of seconds are always allowed. */
const TIME = /^(\d{1,2}):(\d{2}):(\d{2})(?:[.,]\d+)?/;
const ZONE = /^(?:Z|[+-](\d{2}):(\d{2}))$/;

/** What follows a date. Undefined when there is none. */
function afterDate(text: string): string | undefined {
  const [date, year, month, day] = DATE.exec(text) ?? [];
  if (date === undefined) return undefined;
  const isLeap = Number(year) % 4 === 0 && (Number(year) % 100 !== 0 || Number(year) % 400 === 0);
  const days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][Number(month) - 1] ?? 0;
  return Number(day) >= 1 && Number(day) <= days ? text.slice(date.length) : undefined;
}

function afterTime(text: string): string | undefined {
  const [time, hour, minute, second] = TIME.exec(text) ?? [];
  if (time === undefined) return undefined;
  return Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60 ? text.slice(time.length) : undefined;
}

function isZone(text: string | undefined): boolean {
  const match = text === undefined ? null : ZONE.exec(text);
  return match !== null && Number(match[1] ?? 0) <= 24 && Number(match[2] ?? 0) <= 60;
}

const isDate = (text: string): boolean => afterDate(text) === '';

function isTime(text: string): boolean {
  const rest = afterTime(text);
  return rest === '' || isZone(rest);
}

function isDateTime(text: string): boolean {
  if (isTime(text) || isDate(text)) return true;
  const rest = afterDate(text);
  return rest?.startsWith('T') === true && isZone(afterTime(rest.slice(1)));
}

const LABEL = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/;

const isHostname = (text: string): boolean => text.length < 256 && text.split('.').every((label) => LABEL.test(label));

function urlOf(text: string): Url | undefined {
  if (text.includes('\\')) return undefined;
  try {
    return parseUrl(text);
  } catch (error) {
    if (error instanceof UrlError) return undefined;
    throw error;
  }
}

const isUri = (text: string): boolean => (urlOf(text)?.scheme ?? '') !== '';
const isUriReference = (text: string): boolean => urlOf(text) !== undefined;

/** Every brace that opens has one that closes. */
function isUriTemplate(text: string): boolean {
  const url = urlOf(text);
  if (url === undefined) return false;
  const path = fromBytes(url.path);
  for (let at = path.indexOf('{'); at >= 0; at = path.indexOf('{', at)) {
    at = path.indexOf('}', at);
    if (at < 0) return false;
  }
  return true;
}

const UUID = /^[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$/i;
const JSON_POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/;
const RELATIVE_POINTER = /^(?:0|[1-9][0-9]*)(?:#|(?:\/(?:[^~/]|~[01])*)*)$/;

const isAddress = (text: string): boolean => isIP(text) !== 0 && !text.includes('%');

const FORMATS: ReadonlyMap<string, (text: string) => boolean> = new Map([
  ['date', isDate],
  ['time', isTime],
  ['date-time', isDateTime],
  ['hostname', isHostname],
  ['email', isEmailAddress],
  ['idn-email', isEmailAddress],
  ['ipv4', (text) => isAddress(text) && text.includes('.')],
  ['ipv6', (text) => isAddress(text) && text.includes(':')],
  ['uri', isUri],
  ['uri-reference', isUriReference],
  ['iri', isUri],
  ['iri-reference', isUriReference],
  ['uri-template', isUriTemplate],
  ['uuid', (text) => UUID.test(text)],
  ['regex', (text) => text === '' || typeof compilePattern(text) !== 'string'],
  ['json-pointer', (text) => JSON_POINTER.test(text)],
  ['relative-json-pointer', (text) => RELATIVE_POINTER.test(text)],
]);

/** Formats that nobody knows match everything. Throws HaltError for a regular expression that is too long. */
export const matchesFormat = (format: string, text: string): boolean => FORMATS.get(format)?.(text) ?? true;
