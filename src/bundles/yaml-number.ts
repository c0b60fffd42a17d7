const INT = /^([-+]?)(0[bB][01]+|0[oO][0-7]+|0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
const INFINITE = /^[-+]?\.(?:inf|Inf|INF)$/;
const LOWEST = -(2n ** 63n);
const BEYOND = 2n ** 64n;

/**
 * A plain scalar that begins like a number, as go-yaml v3 takes it: beside YAML 1.2's integers also `017`, `0b1` and
 * `1_000`; exact while they fit into 64 bits, and otherwise floating-point numbers, or text. NaN: no number that JSON has. Throws
 * Error for what only Go takes for a number.
 */
export function resolveNumber(text: string): bigint | number | string {
  if (INFINITE.test(text) || /^\.(?:nan|NaN|NAN)$/.test(text)) return Number.NaN;
  const plain = text.startsWith('.') ? text : text.replaceAll('_', '');
  const exact = exactInteger(plain);
  if (exact !== undefined) return exact;
  // Go's reader of the digits behind the prefix takes a sign there.
  if (/^-?0[bo][-+][0-7]+$/.test(plain)) throw new Error('a number with its sign in the middle');
  if (!FLOAT.test(plain)) return text;
  const value = Number(plain);
  return Number.isFinite(value) ? value : text;
}

function exactInteger(plain: string): bigint | undefined {
  const [, sign = '', digits = ''] = INT.exec(plain) ?? [];
  if (digits === '') return undefined;
  const size = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
  const value = sign === '-' ? -size : size;
  // Without a sign one more bit is left.
  const end = sign === '' ? BEYOND : -LOWEST;
  return value >= LOWEST && value < end ? value : undefined;
}
