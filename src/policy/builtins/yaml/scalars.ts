/*
 * What plain scalars of YAML mean to OPA (https://yaml.org/spec/1.2.2/#103-core-schema, with the octal numbers,
 * underscores and timestamps of YAML 1.1 that https://pkg.go.dev/go.yaml.in/yaml/v3 keeps).
 */

/** Floats are doubles, which may be infinite or NaN. */
export type Scalar =
  | { readonly tag: 'null'; readonly value: null }
  | { readonly tag: 'bool'; readonly value: boolean }
  | { readonly tag: 'int'; readonly value: bigint }
  | { readonly tag: 'float'; readonly value: number }
  | { readonly tag: 'timestamp' | 'str'; readonly value: string };

const WORDS: ReadonlyMap<string, Scalar> = new Map(
  (
    [
      [{ tag: 'bool', value: true }, 'true True TRUE'],
      [{ tag: 'bool', value: false }, 'false False FALSE'],
      [{ tag: 'null', value: null }, ' ~ null Null NULL'],
      [{ tag: 'float', value: Number.NaN }, '.nan .NaN .NAN'],
      [{ tag: 'float', value: Number.POSITIVE_INFINITY }, '.inf .Inf .INF +.inf +.Inf +.INF'],
      [{ tag: 'float', value: Number.NEGATIVE_INFINITY }, '-.inf -.Inf -.INF'],
    ] as const
  ).flatMap(([meaning, spellings]) => spellings.split(' ').map((spelling) => [spelling, meaning] as const)),
);

const INTEGER = /^([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)$/;
/** The longest that 64 bits have, with base and sign. */
const MAX_INTEGER_CHARS = 68;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
/** Go's spelling of what begins with a point. */
const POINT_FLOAT = /^\.[0-9](?:_?[0-9])*(?:[eE][-+]?[0-9](?:_?[0-9])*)?$/;
const DATE = /^\d{4}-(\d{1,2})-(\d{1,2})$/;
const TIMESTAMP =
  /^(\d{4}-\d{1,2}-\d{1,2})(?:[Tt](\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?(?:Z|[-+](\d{2}):(\d{2}))| (\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?)$/;

const MAX_INT = 2n ** 63n - 1n;
const MIN_INT = -(2n ** 63n);
const MAX_UINT = 2n ** 64n - 1n;

/** An integer of 64 bits, with a sign or without. */
function integerOf(text: string): bigint | undefined {
  // Leading zeros make longer texts, too.
  const match = text.length <= 10 * MAX_INTEGER_CHARS ? INTEGER.exec(text) : null;
  if (match === null) return undefined;
  const [, sign = '', digits = ''] = match;
  const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits.toLowerCase());
  if (sign === '') return value <= MAX_UINT ? value : undefined;
  const signed = sign === '-' ? -value : value;
  return signed >= MIN_INT && signed <= MAX_INT ? signed : undefined;
}

function floatOf(text: string): number | undefined {
  const value = FLOAT.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}

function isDate(text: string): boolean {
  const [date, month, day] = DATE.exec(text) ?? [];
  if (date === undefined) return false;
  const days = new Date(Date.UTC(2000 + (Number(date.slice(0, 4)) % 400), Number(month), 0)).getUTCDate();
  return Number(month) >= 1 && Number(month) <= 12 && Number(day) >= 1 && Number(day) <= days;
}

function isTimestamp(text: string): boolean {
  if (isDate(text)) return true;
  const match = TIMESTAMP.exec(text);
  if (match === null || !isDate(match[1] ?? '')) return false;
  const [, , hour = match[7], minute = match[8], second = match[9], zoneHour = '0', zoneMinute = '0'] = match;
  const isTime = Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60;
  return isTime && Number(zoneHour) <= 24 && Number(zoneMinute) <= 60;
}

/** A timestamp as Go's JSON has it (RFC 3339). */
export function timestampText(text: string): string {
  const [date = '', time = '', fraction = '', zone = 'Z'] =
    /^([\d-]+)(?:[Tt ]([\d:]+)(?:[.,](\d+))?(Z|[-+].*)?)?$/.exec(text)?.slice(1) ?? [];
  const twoDigits = (part: string): string => part.padStart(2, '0');
  const digits = fraction.slice(0, 9).replace(/0+$/, '');
  const clock = (time === '' ? '0:0:0' : time).split(':').map(twoDigits).join(':');
  const offset = /^[-+]00:00$/.test(zone) ? 'Z' : zone;
  return `${date.split('-').map(twoDigits).join('-')}T${clock}${digits === '' ? '' : `.${digits}`}${offset}`;
}

/** What a scalar without quotes and tag means. */
export function resolveScalar(text: string): Scalar {
  const word = WORDS.get(text);
  if (word !== undefined) return word;
  const first = text[0] ?? '';
  if (first === '.') {
    const value = POINT_FLOAT.test(text) ? floatOf(text.replaceAll('_', '')) : undefined;
    if (value !== undefined) return { tag: 'float', value };
  } else if ((first >= '0' && first <= '9') || first === '+' || first === '-') {
    if (isTimestamp(text)) return { tag: 'timestamp', value: text };
    const digits = text.replaceAll('_', '');
    const integer = integerOf(digits);
    if (integer !== undefined) return { tag: 'int', value: integer };
    const float = floatOf(digits);
    if (float !== undefined) return { tag: 'float', value: float };
  }
  return { tag: 'str', value: text };
}

/** Digits before an exponent is written. */
const GENERAL_DIGITS = 6;

/** The shortest text of a double, or of the nearest float of 32 bits, with an exponent from a million on (Go, 'g'). */
export function floatText(value: number, bits: 32 | 64): string {
  const rounded = bits === 32 ? Math.fround(value) : value;
  if (Number.isNaN(rounded)) return '.nan';
  if (!Number.isFinite(rounded)) return rounded < 0 ? '-.inf' : '.inf';
  if (rounded === 0) return '0';
  const text = bits === 32 ? shortest32(rounded) : rounded.toExponential();
  const [mantissa = '', power = '0'] = text.split('e');
  const exponent = Number(power);
  if (exponent >= -4 && exponent < GENERAL_DIGITS) return String(Number(text));
  return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

function shortest32(value: number): string {
  for (let digits = 0; digits < 9; digits++) {
    const text = value.toExponential(digits);
    if (Math.fround(Number(text)) === value) return text;
  }
  return value.toExponential();
}
