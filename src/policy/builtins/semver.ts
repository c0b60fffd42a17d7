import type { Value } from '../../values/value.ts';
import { type Builtin, BuiltinError } from './builtin.ts';
import { stringAt } from './operands.ts';

/*
 * Semantic versions 2.0.0 (https://semver.org), with numbers of any size.
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/semver
 */

type Version = { readonly numbers: readonly bigint[]; readonly prerelease: readonly string[] };

const IDENTIFIERS = '[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*';
const VERSION = new RegExp(`^(\\d+)\\.(\\d+)\\.(\\d+)(?:-(${IDENTIFIERS}))?(?:\\+${IDENTIFIERS})?$`);
const MAX_CHARS = 1024;

function parse(text: string): Version | undefined {
  const match = text.length > MAX_CHARS ? null : VERSION.exec(text);
  if (match === null) return undefined;
  const [, major = '', minor = '', patch = '', prerelease] = match;
  const numbers = [major, minor, patch];
  const identifiers = prerelease?.split('.') ?? [];
  if ([...numbers, ...identifiers].some((part) => /^0\d+$/.test(part))) return undefined;
  return { numbers: numbers.map(BigInt), prerelease: identifiers };
}

function compare(a: Version, b: Version): number {
  for (const [i, left] of a.numbers.entries()) {
    const right = b.numbers[i] ?? 0n;
    if (left !== right) return left < right ? -1 : 1;
  }
  if (a.prerelease.length === 0 || b.prerelease.length === 0)
    return Math.sign(b.prerelease.length - a.prerelease.length);
  for (const [i, left] of a.prerelease.entries()) {
    const right = b.prerelease[i];
    if (right === undefined) return 1;
    const order = compareIdentifiers(left, right);
    if (order !== 0) return order;
  }
  return a.prerelease.length < b.prerelease.length ? -1 : 0;
}

/** Numbers go before words, and by their size. */
function compareIdentifiers(a: string, b: string): number {
  if (a === b) return 0;
  const [x, y] = [a, b].map((identifier) => (/^\d+$/.test(identifier) ? BigInt(identifier) : undefined));
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : 0;
  if (x !== undefined || y !== undefined) return x !== undefined ? -1 : 1;
  return a < b ? -1 : 1;
}

function versionAt(position: number, value: Value | undefined): Version {
  const version = parse(stringAt(position, value));
  if (version === undefined) throw new BuiltinError(`operand ${position}: not a valid SemVer`);
  return version;
}

export const semverBuiltins: readonly Builtin[] = [
  { name: 'semver.compare', arity: 2, run: (_ctx, a, b) => compare(versionAt(1, a), versionAt(2, b)) },
  { name: 'semver.is_valid', arity: 1, run: (_ctx, text) => typeof text === 'string' && parse(text) !== undefined },
];
