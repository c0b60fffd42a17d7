import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseAddress } from '../../src/envoy/address.ts';
import { grpcTimeoutMs } from '../../src/envoy/grpc-timeout.ts';
import { readRequest } from '../../src/envoy/request.ts';
import { readGroups } from '../support/cases.ts';

/** A repeatable source of small numbers. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    return state % below;
  };
}
describe('CheckRequest bytes', () => {
  const seeds = readGroups().flatMap(({ cases }) => cases.map(({ request }) => Buffer.from(request)));

  test('that were damaged are read, or refused with a WireError', () => {
    const next = numbers(42);
    let refused = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = Buffer.from(seeds[next(seeds.length)] ?? Buffer.alloc(1));
      if (bytes.length === 0) continue;
      for (let flips = next(4); flips >= 0; flips--) bytes[next(bytes.length)] = next(256);
      const damaged = next(3) === 0 ? bytes.subarray(0, next(bytes.length)) : bytes;
      try {
        readRequest(damaged);
      } catch (error) {
        assert.equal((error as Error).name, 'WireError', damaged.toString('hex'));
        refused++;
      }
    }
    assert.ok(refused > 1000, `${refused} refused`);
  });

  test('nested without end are refused', () => {
    const groups = Buffer.alloc(200_000, 0x0b);
    assert.throws(() => readRequest(groups), { name: 'WireError' });
    let nested: Buffer = Buffer.alloc(0);
    const length = (size: number): Buffer => {
      const bytes: number[] = [];
      for (let rest = size; ; rest >>>= 7) {
        bytes.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
        if (rest <= 0x7f) return Buffer.from(bytes);
      }
    };
    const wrap = (tag: number, inner: Buffer): Buffer =>
      Buffer.concat([Buffer.from([tag]), length(inner.length), inner]);
    for (let i = 0; i < 2000; i++) nested = wrap(0x2a, wrap(0x0a, wrap(0x12, nested)));
    const metadata = wrap(
      0x0a,
      wrap(0x5a, wrap(0x0a, Buffer.concat([wrap(0x0a, Buffer.from('k')), wrap(0x12, wrap(0x0a, wrap(0x12, nested)))]))),
    );
    assert.throws(() => readRequest(metadata), { name: 'WireError' });
  });
});

test('grpc-timeout is read as the gRPC specification has it', () => {
  const values: readonly (readonly [string, number | undefined])[] = [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['4m', 4],
    ['5u', 0.005],
    ['6n', 0.000006],
    ['99999999M', 5_999_999_940_000],
    ['0S', 0],
    ['', undefined],
    ['1', undefined],
    ['S', undefined],
    ['1s', undefined],
    ['-1S', undefined],
    ['1.5S', undefined],
    ['123456789S', undefined],
    [' 1S', undefined],
  ];
  for (const [header, ms] of values) assert.equal(grpcTimeoutMs(header), ms, header);
});

test('addresses are read as the peer reads them', () => {
  assert.deepEqual(parseAddress('127.0.0.1:9191').target, '127.0.0.1:9191');
  assert.deepEqual(parseAddress(':9191').target, '[::]:9191');
  assert.deepEqual(parseAddress('grpc://h:1').target, 'h:1');
  assert.deepEqual(parseAddress('unix:///run/a.sock'), { target: 'unix:/run/a.sock', socketFile: '/run/a.sock' });
  assert.deepEqual(parseAddress('unix://@a'), { target: 'unix-abstract:a', socketFile: undefined });
  for (const text of ['', 'h', 'h:99999', 'http://h:1', 'unix://', 'unix://@', 'h:port']) {
    assert.throws(() => parseAddress(text), text);
  }
});
