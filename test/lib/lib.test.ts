import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs } from '../../src/lib/backoff.ts';
import { hideSecrets } from '../../src/lib/hide-secrets.ts';
import { createReload, startAll } from '../../src/lib/lifecycle.ts';
import { createNowAndThen } from '../../src/lib/now-and-then.ts';
import { createOneByOne } from '../../src/lib/one-by-one.ts';
import { uuid7 } from '../../src/lib/uuid7.ts';

test('a UUIDv7 carries its time, its version and its variant, and no two are equal', () => {
  const ids = Array.from({ length: 2000 }, () => uuid7(0x0123456789ab));
  for (const id of ids) assert.match(id, /^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(new Set(ids).size, ids.length);
});

test('what is done now and then is due at first, after its time, and after a reset, each kind for itself', () => {
  let nowMs = 5;
  const words = createNowAndThen(100, { monotonicMs: () => nowMs });
  assert.deepEqual([words.isDue('a'), words.isDue('a'), words.isDue('b')], [true, false, true]);
  nowMs = 104;
  assert.equal(words.isDue('a'), false);
  nowMs = 105;
  assert.deepEqual([words.isDue('a'), words.isDue('a')], [true, false]);
  words.reset();
  assert.equal(words.isDue('a'), true);
});

test('back-off doubles up to its cap, and is never less than half of it', () => {
  for (let failures = 0; failures < 100; failures++) {
    const full = Math.min(30_000, 500 * 2 ** failures);
    assert.equal(
      backoffMs(failures, 500, 30_000, () => 0),
      full / 2,
    );
    assert.ok(backoffMs(failures, 500, 30_000, () => 0.999) < full);
  }
});

test('secrets of a configuration are hidden, names of files stay', () => {
  const shown = JSON.stringify(
    hideSecrets({
      services: {
        s: {
          url: 'https://u:s3cr3t@h/p',
          credentials: {
            bearer: { token: 's3cr3t', token_path: '/f' },
            client_tls: { private_key: '/k', private_key_passphrase: 's3cr3t' },
            oauth2: {
              client_assertion: 's3cr3t',
              additional_headers: { a: 's3cr3t' },
              additional_parameters: { b: 's3cr3t' },
            },
          },
          headers: { a: 's3cr3t' },
        },
      },
      bundles: { a: { resource: 'b.tar.gz?sig=s3cr3t' }, b: { resource: 'https://h/b?sig=s3cr3t' } },
      list: [{ client_secret: 's3cr3t' }],
      other: 'https://h/p?sig=s3cr3t#s',
    }),
  );
  assert.ok(!shown.includes('s3cr3t') && shown.includes('/f') && shown.includes('@h/p'), shown);
});

test('parts start in order and stop backwards; one that fails stops what had started', async () => {
  const told: string[] = [];
  const part = (name: string, fails = false): { name: string; start: () => void; stop: () => void } => ({
    name,
    start: () => {
      told.push(`+${name}`);
      if (fails) throw new Error(name);
    },
    stop: () => void told.push(`-${name}`),
  });
  const stop = await startAll([part('a'), part('b')], () => {});
  await stop();
  await stop();
  assert.deepEqual(told.splice(0), ['+a', '+b', '-b', '-a']);
  await assert.rejects(
    startAll([part('a'), part('b', true), part('c')], () => {}),
    /b/,
  );
  assert.deepEqual(told, ['+a', '+b', '-b', '-a']);
});

test('parts reload in order, one turn at a time; who asks meanwhile shares the next turn, and a failure stops nobody', async () => {
  const told: string[] = [];
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const failures: string[] = [];
  const reload = createReload(
    [
      { name: 'a', reload: async () => void told.push('a', await held.then(() => 'a done')) },
      { name: 'without' },
      { name: 'b', reload: () => Promise.reject(new Error('b fails')) },
      { name: 'c', reload: () => void told.push('c') },
    ],
    (name, error) => failures.push(`${name}: ${String(error)}`),
  );
  const first = reload();
  await Promise.resolve();
  const [second, third] = [reload(), reload()];
  assert.equal(second, third);
  assert.notEqual(first, second);
  assert.deepEqual(told, []);
  release();
  assert.deepEqual(await first, ['a', 'c']);
  assert.deepEqual(await second, ['a', 'c']);
  assert.deepEqual(await reload(), ['a', 'c']);
  const turn = ['a', 'a done', 'c'];
  assert.deepEqual(told, [...turn, ...turn, ...turn]);
  assert.deepEqual(failures, Array(3).fill('b: Error: b fails'));
});

test('tasks one by one do not overlap, keep their order and outlive a failure', async () => {
  const inTurn = createOneByOne();
  const seen: string[] = [];
  const task = (name: string, fails = false) =>
    inTurn(async () => {
      seen.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      seen.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    });
  const results = await Promise.allSettled([task('a'), task('b', true), task('c')]);
  assert.deepEqual(seen, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : `${result.reason}`)),
    ['a', 'Error: b', 'c'],
  );
});
