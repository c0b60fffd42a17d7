import { BundleError } from './error.ts';
import type { OpenedBundle } from './open.ts';

/** What has to be remembered of a signed bundle, also over restarts, so that an older one can be told. */
export type SignedVersion = {
  readonly revision: string;
  /** Seconds since the epoch; undefined when the signature does not say. */
  readonly issuedAt: number | undefined;
  /** Of all files. */
  readonly digest: string;
};

/** The version of a bundle that was verified. */
export const signedVersionOf = (opened: OpenedBundle): SignedVersion | undefined =>
  opened.kind === 'snapshot' && opened.verified !== undefined
    ? {
        revision: opened.bundle.revision,
        issuedAt: opened.verified.issuedAt,
        digest: opened.verified.digest,
      }
    : undefined;

/**
 * Throws BundleError when a signed bundle is older than the one that is held: by the time at which it was signed, and where
 * that does not decide, by its revision, if both are whole numbers, semantic versions or RFC 3339 times. Unsigned bundles
 * are not judged (undefined), and the same content again is never older.
 */
export function refuseRollback(held: SignedVersion | undefined, offered: SignedVersion | undefined): void {
  if (held === undefined || offered === undefined || held.digest === offered.digest) return;
  const times = [held.issuedAt, offered.issuedAt] as const;
  if (times[0] !== undefined && times[1] !== undefined && times[0] !== times[1]) {
    if (times[1] < times[0])
      throw new BundleError('the bundle was signed before the active one; it would be a rollback');
    return;
  }
  const order = compareRevisions(offered.revision, held.revision);
  if (order !== undefined && order < 0) {
    throw new BundleError('the revision is below that of the active bundle; it would be a rollback');
  }
  // What is older may come from a time in which nobody wrote times into signatures.
  if (order === undefined && times[0] !== undefined && times[1] === undefined) {
    throw new BundleError('the signature does not say when it was made (iat), and that of the active bundle does');
  }
}

/** Negative when `a` is older; undefined when they cannot be compared. */
function compareRevisions(a: string, b: string): number | undefined {
  for (const order of [compareIntegers, compareTimes, compareSemantic]) {
    const result = order(a, b);
    if (result !== undefined) return result;
  }
  return undefined;
}

const INTEGER = /^(?:0|[1-9][0-9]{0,29})$/;

function compareIntegers(a: string, b: string): number | undefined {
  if (!INTEGER.test(a) || !INTEGER.test(b)) return undefined;
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

const TIME =
  /^([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[-+][0-9]{2}:[0-9]{2})$/;

/** RFC 3339, to the nanosecond. */
function compareTimes(a: string, b: string): number | undefined {
  const left = nanosecondsOf(a);
  const right = nanosecondsOf(b);
  if (left === undefined || right === undefined) return undefined;
  return left < right ? -1 : left > right ? 1 : 0;
}

function nanosecondsOf(text: string): bigint | undefined {
  const [, time = '', fraction = '', zone = ''] = TIME.exec(text) ?? [];
  const ms = Date.parse(`${time}${zone}`.toUpperCase());
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}

const SEMANTIC =
  /^v?(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,14})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$/;

/** Semantic Versioning 2.0.0, section 11. */
function compareSemantic(a: string, b: string): number | undefined {
  const left = SEMANTIC.exec(a);
  const right = SEMANTIC.exec(b);
  if (left === null || right === null) return undefined;
  for (const part of [1, 2, 3]) {
    const order = Number(left[part]) - Number(right[part]);
    if (order !== 0) return order;
  }
  return comparePreReleases(left[4], right[4]);
}

function comparePreReleases(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  const left = a.split('.');
  const right = b.split('.');
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const order = compareIdentifiers(left[i] ?? '', right[i] ?? '');
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/** Numbers below words. */
function compareIdentifiers(a: string, b: string): number {
  const numeric = [a, b].map((each) => /^[0-9]+$/.test(each));
  if (numeric[0] !== numeric[1]) return numeric[0] === true ? -1 : 1;
  if (numeric[0] === true) return Number(BigInt(a) - BigInt(b));
  return a < b ? -1 : a > b ? 1 : 0;
}
