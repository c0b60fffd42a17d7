import { checkChars } from './builtin.ts';

/*
 * Go's fmt.Sprintf for the values that Rego has (https://pkg.go.dev/fmt): integers, floats, strings.
 */

export type GoValue =
  | { readonly type: 'int64' | '*big.Int'; readonly value: bigint }
  | { readonly type: 'float64'; readonly value: number }
  | { readonly type: 'string'; readonly value: string };

type Directive = {
  readonly flags: ReadonlySet<string>;
  readonly width: number | undefined;
  readonly precision: number | undefined;
  readonly verb: string;
};

/** Go takes no larger width or precision. */
const MAX_WIDTH = 1_000_000;

/** Throws HaltError when the text would become too long. */
export function sprintf(format: string, args: readonly GoValue[]): string {
  let out = '';
  let next = 0;
  let reordered = false;
  let at = 0;

  function argumentIndex(): boolean {
    if (format[at] !== '[') return true;
    reordered = true;
    const end = format.indexOf(']', at);
    if (end < 0) {
      at++;
      return false;
    }
    const index = Number(format.slice(at + 1, end));
    at = end + 1;
    if (!Number.isInteger(index) || index < 1 || index > args.length) return false;
    next = index - 1;
    return true;
  }

  /** A number of the format, or with `*` of the arguments. Null: an argument that is none. */
  function size(): number | undefined | null {
    if (format[at] === '*') {
      at++;
      const arg = args[next++];
      if (arg === undefined || arg.type !== 'int64') return null;
      const value = Number(arg.value);
      return Math.abs(value) > MAX_WIDTH ? null : value;
    }
    const digits = /^\d*/.exec(format.slice(at, at + 20))?.[0] ?? '';
    at += digits.length;
    if (digits === '') return undefined;
    return Number(digits) > MAX_WIDTH ? null : Number(digits);
  }

  while (at < format.length) {
    const percent = format.indexOf('%', at);
    if (percent < 0) {
      out += format.slice(at);
      break;
    }
    out += format.slice(at, percent);
    at = percent + 1;
    const flags = new Set<string>();
    while (at < format.length && '+-# 0'.includes(format[at] ?? '')) flags.add(format[at++] ?? '');
    let isGood = argumentIndex();
    let width = size();
    if (width === null) out += '%!(BADWIDTH)';
    if (typeof width === 'number' && width < 0) {
      flags.add('-');
      width = -width;
    }
    let precision: number | undefined | null;
    if (format[at] === '.') {
      at++;
      isGood = argumentIndex() && isGood;
      precision = size() ?? (format[at - 1] === '*' ? null : 0);
      if (precision === null || precision < 0) {
        if (precision === null) out += '%!(BADPREC)';
        precision = undefined;
      }
    }
    isGood = argumentIndex() && isGood;
    const verb = String.fromCodePoint(format.codePointAt(at) ?? 0);
    if (at >= format.length) {
      out += '%!(NOVERB)';
      break;
    }
    at += verb.length;
    if (verb === '%') out += '%';
    else if (!isGood) out += `%!${verb}(BADINDEX)`;
    else {
      const arg = args[next];
      if (arg === undefined) out += `%!${verb}(MISSING)`;
      else {
        next++;
        out += formatValue(arg, { flags, width: width ?? undefined, precision: precision ?? undefined, verb });
      }
    }
    checkChars(out.length);
  }
  if (reordered || next >= args.length) return out;
  const extra = args.slice(next).map((arg) => `${arg.type}=${plain(arg)}`);
  return `${out}%!(EXTRA ${extra.join(', ')})`;
}

const plain = (arg: GoValue): string =>
  formatValue(arg, { flags: new Set(), width: undefined, precision: undefined, verb: 'v' });

function formatValue(arg: GoValue, directive: Directive): string {
  if (directive.verb === 'T') return pad(arg.type, directive, false);
  // `%+v` asks for names of fields, which none of these have.
  if (directive.verb === 'v') return textOf(arg, without('+', directive)) ?? '';
  const text = textOf(arg, directive);
  if (text !== undefined) return text;
  // Go prints what it cannot print that way with all other flags.
  const printed = textOf(arg, { ...without('#', directive), verb: 'v' });
  return `%!${directive.verb}(${arg.type.replace('*', '')}=${printed})`;
}

const without = (flag: string, directive: Directive): Directive => ({
  ...directive,
  flags: new Set([...directive.flags].filter((other) => other !== flag)),
});

function textOf(arg: GoValue, directive: Directive): string | undefined {
  if (arg.type === 'string') return formatString(arg.value, directive);
  if (arg.type === 'float64') return formatFloat(arg.value, directive);
  return formatInteger(arg.value, arg.type === 'int64', directive);
}

function pad(text: string, { flags, width = 0 }: Directive, mayZero: boolean): string {
  const lacking = width - [...text].length;
  if (lacking <= 0) return text;
  if (flags.has('-')) return text + ' '.repeat(lacking);
  if (!mayZero || !flags.has('0')) return ' '.repeat(lacking) + text;
  const [, sign = '', rest = ''] = /^([+\- ]?)([\s\S]*)$/.exec(text) ?? [];
  return sign + '0'.repeat(lacking) + rest;
}

function formatString(value: string, directive: Directive): string | undefined {
  const { flags, precision, verb } = directive;
  const cut = precision === undefined ? value : [...value].slice(0, precision).join('');
  switch (verb) {
    case 's':
    case 'v':
      return pad(flags.has('#') && verb === 'v' ? quote(cut) : cut, directive, true);
    case 'q':
      return pad(flags.has('#') && !/[`\p{Cc}]/u.test(cut) ? `\`${cut}\`` : quote(cut), directive, true);
    case 'x':
    case 'X': {
      const bytes = Buffer.from(value);
      const hex = (precision === undefined ? bytes : bytes.subarray(0, precision)).toString('hex');
      const joined = flags.has(' ') ? (hex.match(/../g) ?? []).join(flags.has('#') ? ' 0x' : ' ') : hex;
      const prefixed = flags.has('#') && hex !== '' ? `0x${joined}` : joined;
      return pad(verb === 'X' ? prefixed.toUpperCase() : prefixed, directive, true);
    }
    default:
      return undefined;
  }
}

const ESCAPES: { readonly [character: string]: string } = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

/** strconv.Quote. */
export function quote(text: string): string {
  const escaped = [...text].map((character) => {
    const known = ESCAPES[character];
    if (known !== undefined) return known;
    const code = character.codePointAt(0) ?? 0;
    if (/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(character)) return character;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
  return `"${escaped.join('')}"`;
}

const BASES: { readonly [verb: string]: number } = { d: 10, v: 10, b: 2, o: 8, O: 8, x: 16, X: 16 };

function formatInteger(value: bigint, isSmall: boolean, directive: Directive): string | undefined {
  const { flags, precision, width, verb } = directive;
  if (isSmall && (verb === 'c' || verb === 'q' || verb === 'U')) return formatCodePoint(value, directive);
  const base = BASES[verb] ?? (verb === 's' && !isSmall ? 10 : undefined);
  if (base === undefined) return undefined;
  const sign = value < 0n ? '-' : flags.has('+') ? '+' : flags.has(' ') ? ' ' : '';
  let digits = (value < 0n ? -value : value).toString(base);
  if (verb === 'X') digits = digits.toUpperCase();
  if (precision === 0 && value === 0n) return pad('', { ...directive, flags: new Set() }, false);
  const zeros =
    flags.has('0') && !flags.has('-') && precision === undefined ? (width ?? 0) - sign.length : (precision ?? 0);
  digits = digits.padStart(zeros, '0');
  if (flags.has('#')) {
    if (verb === 'x' || verb === 'X') digits = `0${verb}${digits}`;
    if (verb === 'o' && !digits.startsWith('0')) digits = `0${digits}`;
    if (verb === 'b') digits = `0b${digits}`;
  }
  if (verb === 'O') digits = `0o${digits}`;
  return pad(sign + digits, directive, false);
}

function formatCodePoint(value: bigint, directive: Directive): string {
  const code = value >= 0n && value <= 0x10ffffn ? Number(value) : 0xfffd;
  const character = code >= 0xd800 && code <= 0xdfff ? '\ufffd' : String.fromCodePoint(code);
  if (directive.verb === 'c') return pad(character, directive, true);
  if (directive.verb === 'q') {
    const inner = character === "'" ? "\\'" : character === '"' ? '"' : quote(character).slice(1, -1);
    return pad(`'${inner}'`, directive, true);
  }
  const hex = BigInt.asUintN(64, value)
    .toString(16)
    .toUpperCase()
    .padStart(Math.max(directive.precision ?? 4, 4), '0');
  return pad(directive.flags.has('#') ? `U+${hex} '${character}'` : `U+${hex}`, directive, false);
}

/** Shortest text has at most this power before an exponent is used (strconv, 'g'). */
const SHORTEST_EXPONENT = 6;

function formatFloat(value: number, directive: Directive): string | undefined {
  const { flags, precision, verb } = directive;
  const magnitude = Math.abs(value);
  const text = floatText(magnitude, verb, precision);
  if (text === undefined) return undefined;
  const sign = value < 0 ? '-' : flags.has('+') ? '+' : flags.has(' ') ? ' ' : '';
  return pad(sign + text, directive, true);
}

function floatText(magnitude: number, verb: string, precision: number | undefined): string | undefined {
  switch (verb) {
    case 'e':
    case 'E': {
      const text = exponentText(exponential(magnitude, precision ?? 6));
      return verb === 'E' ? text.toUpperCase() : text;
    }
    case 'f':
    case 'F':
      return fixedText(magnitude, precision ?? 6);
    case 'v':
    case 'g':
    case 'G': {
      const text = generalText(magnitude, precision);
      return verb === 'G' ? text.toUpperCase() : text;
    }
    default:
      return undefined;
  }
}

/** Exponents have two digits at least. */
const exponentText = (text: string): string => text.replace(/e([+-])(\d)$/, 'e$10$2');

/** A double as the exact decimal that it is: `coefficient` / 10^`places`. */
function exactDecimal(magnitude: number): { readonly coefficient: bigint; readonly places: number } {
  let halvings = 0;
  let whole = magnitude;
  // Doubling is exact; the smallest double needs 1,074 of them.
  while (!Number.isInteger(whole)) {
    whole *= 2;
    halvings++;
  }
  return { coefficient: BigInt(whole) * 5n ** BigInt(halvings), places: halvings };
}

/** `value` / 10^`places`, rounded to an integer, ties to even, as Go does. */
function dividedByPower(value: bigint, places: number): bigint {
  const divisor = 10n ** BigInt(places);
  const quotient = value / divisor;
  const twice = 2n * (value % divisor);
  const isUp = twice > divisor || (twice === divisor && quotient % 2n === 1n);
  return isUp ? quotient + 1n : quotient;
}

function fixedText(magnitude: number, precision: number): string {
  const { coefficient, places } = exactDecimal(magnitude);
  const digits = Math.min(precision, places);
  const text = dividedByPower(coefficient, places - digits)
    .toString()
    .padStart(digits + 1, '0');
  const point = text.length - digits;
  const fraction = text.slice(point).padEnd(precision, '0');
  return fraction === '' ? text : `${text.slice(0, point)}.${fraction}`;
}

/** Number.prototype.toExponential, with ties to even and any number of digits. */
function exponential(magnitude: number, precision: number): string {
  const { coefficient, places } = exactDecimal(magnitude);
  const known = coefficient.toString();
  const excess = Math.max(known.length - 1 - precision, 0);
  // Rounding 9.99 up gives one digit more.
  const rounded = dividedByPower(coefficient, excess).toString();
  const power = rounded.length - 1 + excess - places;
  const digits = rounded.padEnd(precision + 1, '0').slice(0, precision + 1);
  const fraction = precision === 0 ? '' : `.${digits.slice(1)}`;
  return `${digits[0]}${fraction}e${magnitude === 0 || power >= 0 ? '+' : '-'}${magnitude === 0 ? 0 : Math.abs(power)}`;
}

function generalText(magnitude: number, precision: number | undefined): string {
  if (magnitude === 0) return '0';
  const shortest = precision === undefined;
  const scientific = shortest ? magnitude.toExponential() : exponential(magnitude, Math.max(precision, 1) - 1);
  const [mantissa = '', power = '0'] = scientific.split('e');
  const exponent = Number(power);
  const digits = mantissa.replace('.', '').replace(/0+$/, '') || '0';
  const limit = shortest ? SHORTEST_EXPONENT : Math.max(precision, 1);
  const isLong = exponent < -4 || exponent >= limit;
  if (isLong) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return exponentText(`${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${Math.abs(exponent)}`);
  }
  if (exponent < 0) return `0.${'0'.repeat(-exponent - 1)}${digits}`;
  const integer = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const fraction = digits.slice(exponent + 1);
  return fraction === '' ? integer : `${integer}.${fraction}`;
}
