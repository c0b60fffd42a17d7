import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { refuseRollback, type SignedVersion } from '../../src/bundles/rollback.ts';

const version = (revision: string, issuedAt?: number, digest = `${revision} ${issuedAt}`): SignedVersion => ({
  revision,
  issuedAt,
  digest,
});
type Row = readonly [held: SignedVersion | undefined, offered: SignedVersion | undefined];

const accepted: readonly (readonly [name: string, ...Row])[] = [
  ['the first', undefined, version('1', 5)],
  ['an unsigned one', version('2', 5), undefined],
  ['a later one', version('2', 5), version('1', 6)],
  ['one of the same second', version('a', 5), version('b', 5)],
  ['a higher one of the same second', version('1', 5), version('2', 5)],
  ['the same content, signed earlier', version('2', 5, 'd'), version('1', 4, 'd')],
  ['the same content without a time', version('2', 5, 'd'), version('2', undefined, 'd')],
  ['a revision that says nothing', version('3c59dc0'), version('a87ff67')],
  ['a revision of another kind', version('17'), version('1.0.0')],
  ['a revision that is no number any more', version('17'), version('v0')],
  ['an empty revision', version('17'), version('')],
  ['a higher number', version('9'), version('10')],
  ['a much higher number', version('99999999999999999999'), version('100000000000000000000')],
  ['the same number', version('9', undefined, 'x'), version('9', undefined, 'y')],
  ['a time where there was none', version('9'), version('8f', 5)],
  ['a higher number without a time', version('9', 5), version('10')],
  ['a later time as a revision', version('2026-01-01T00:00:00Z'), version('2026-01-01T00:00:00.001+00:00')],
  ['a later time in another zone', version('2026-01-01T00:00:00+02:00'), version('2025-12-31T23:00:00Z')],
  ['a higher patch', version('v1.2.9'), version('1.2.10')],
  ['a release after its candidate', version('1.2.0-rc.9'), version('1.2.0')],
  ['a later candidate', version('1.2.0-rc.9'), version('1.2.0-rc.10')],
  ['a longer candidate', version('1.2.0-rc'), version('1.2.0-rc.1')],
  ['another build', version('1.2.0+b'), version('1.2.0+a')],
];
const refused: readonly (readonly [name: string, ...Row, RegExp])[] = [
  ['an earlier one', version('1', 5), version('2', 4), /signed before the active one/],
  ['an earlier one with the same revision', version('1', 5), version('1', 4), /signed before/],
  ['a lower one of the same second', version('2', 5), version('1', 5), /revision is below/],
  ['a lower number', version('10'), version('9'), /revision is below/],
  ['a lower number without a time', version('10', 5), version('9'), /revision is below/],
  ['a lower number with a time where there was none', version('10'), version('9', 5), /revision is below/],
  ['one without a time where there was one', version('3c59dc0', 5), version('a87ff67'), /does not say when/],
  ['a lower version', version('v2.0.0'), version('v1.9.9'), /revision is below/],
  ['a candidate after its release', version('1.2.0'), version('1.2.0-rc.1'), /revision is below/],
  ['a numeric candidate after a named one', version('1.2.0-a'), version('1.2.0-1'), /revision is below/],
  ['an earlier candidate', version('1.2.0-rc.b'), version('1.2.0-rc.a'), /revision is below/],
  ['an earlier time', version('2026-01-01T00:00:00.000000002Z'), version('2026-01-01T00:00:00.000000001Z'), /revision/],
];

describe('a signed bundle is followed by', () => {
  for (const [name, held, offered] of accepted)
    test(name, () => assert.equal(refuseRollback(held, offered), undefined));
});

describe('a signed bundle is not followed by', () => {
  for (const [name, held, offered, message] of refused) {
    test(name, () => assert.throws(() => refuseRollback(held, offered), { name: 'BundleError', message }));
  }
});
