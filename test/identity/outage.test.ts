import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mock, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createIdentify, type Identification } from '../../src/identity/identify.ts';
import { facts } from '../support/facts.ts';
import { ecPair, forge, jwkOf, type Pair } from '../support/forge.ts';
import { scratchFolder } from '../support/servers.ts';

/*
 * Hours pass in seconds: the clock and the timers are moved. The issuer is a file, which is there or not, because an HTTP
 * client has timers of its own.
 */

const issuer = 'https://i.test/';
const HOUR_MS = 3_600_000;
const STEP_MS = 10_000;
/** What reading the file takes, real ms. */
const SETTLE_MS = 5;

type Idp = {
  readonly publish: (...keys: readonly object[]) => void;
  /** From now on it has nothing, or nothing that could be used. */
  readonly fail: (text?: string) => void;
  /** How often it was asked. */
  readonly requests: () => number;
};

type World = {
  readonly idp: Idp;
  readonly identification: Identification;
  readonly pair: Pair;
  readonly nowSeconds: () => number;
  /** Moves both clocks, and lets happen what is due. */
  readonly pass: (ms: number) => Promise<void>;
  /** Moves the wall clock only. */
  readonly stepWall: (ms: number) => void;
  readonly monotonicMs: () => number;
  readonly sign: (claims?: object, kid?: string, pair?: Pair) => string;
  /** `ok`, or the reason of the refusal. */
  readonly ask: (token: string) => Promise<string>;
};

async function createWorld(context: TestContext, maxStaleSeconds: number, isUp = true): Promise<World> {
  const file = join(scratchFolder(context), 'keys.json');
  let requests = 0;
  const idp: Idp = {
    publish: (...keys) => writeFileSync(file, JSON.stringify({ keys })),
    fail: (text) => (text === undefined ? rmSync(file) : writeFileSync(file, text)),
    requests: () => requests,
  };
  const pair = ecPair();
  if (isUp) idp.publish(jwkOf(pair, { kid: 'k1' }));
  let wallMs = Date.now();
  let monotonicMs = 1_000_000;
  mock.timers.enable({ apis: ['setTimeout'] });
  context.after(() => mock.timers.reset());
  const identification = createIdentify({
    config: {
      required: true,
      token: { header: 'authorization', scheme: 'bearer', cookie: null, query: null, metadata: null, forward: true },
      rules: [],
      workload: { trust_domains: [], xfcc: false },
      claims_to_headers: {},
      identity_headers: [],
      remove_forwarded: false,
      issuers: [
        {
          issuer,
          jwks_file: file,
          verified_by: 'postern',
          discovery: false,
          audiences: [],
          algorithms: ['ES256'],
          leeway_seconds: 60,
          max_lifetime_seconds: 86_400,
          jwks_mirrors: [],
          allow_http: false,
          max_stale_seconds: maxStaleSeconds,
          required_claims: [],
        },
      ],
    },
    clock: { wallMs: () => wallMs, monotonicMs: () => monotonicMs },
    random: Math.random,
    log: { warn: () => {} },
    onCache: () => {},
    onKeys: () => requests++,
    onReady: () => {},
  });
  context.after(identification.stop);
  await identification.start();
  let made = 0;
  const nowSeconds = (): number => Math.floor(wallMs / 1000);
  return {
    idp,
    identification,
    pair,
    nowSeconds,
    monotonicMs: () => monotonicMs,
    pass: async (ms) => {
      for (let left = ms; left > 0; left -= STEP_MS) {
        const step = Math.min(left, STEP_MS);
        wallMs += step;
        monotonicMs += step;
        mock.timers.tick(step);
        await sleep(SETTLE_MS);
      }
    },
    stepWall: (ms) => {
      wallMs += ms;
    },
    sign: (claims = {}, kid = 'k1', by = pair) => {
      const registered = { iss: issuer, sub: 'ann', iat: nowSeconds(), exp: nowSeconds() + 600, jti: ++made };
      return forge({ alg: 'ES256', kid }, { ...registered, ...claims }, by, 'ES256');
    },
    ask: async (token) => {
      const result = await identification.identify(facts({ headers: { authorization: `Bearer ${token}` } }));
      return result.ok ? 'ok' : result.reason;
    },
  };
}

/** Waits, without moving any clock, until a file that is being read has been read. */
async function settled(isDone: () => boolean): Promise<void> {
  for (let waited = 0; !isDone() && waited < 5_000; waited += SETTLE_MS) await sleep(SETTLE_MS);
  assert.ok(isDone());
}

test('an hour without the issuer: known keys go on, others are 503, it is not flooded, and new keys work soon after', async (context) => {
  const { idp, pair, pass, sign, ask, monotonicMs, nowSeconds } = await createWorld(context, 86_400);
  const longLived = sign({ exp: nowSeconds() + 4 * 3600 });
  const newPair = ecPair();
  idp.fail();
  const requestsAt: number[] = [];
  let seen = idp.requests();
  for (let passed = 0; passed < HOUR_MS; passed += STEP_MS) {
    assert.equal(await ask(longLived), 'ok');
    assert.equal(await ask(sign()), 'ok', 'a token that was issued during the outage, by a known key');
    const unknown = Array.from({ length: 5 }, (_, i) => sign({}, `invented-${passed}-${i}`, newPair));
    assert.deepEqual(await Promise.all(unknown.map(ask)), Array(5).fill('keys_unavailable'));
    assert.equal(await ask(sign({}, 'k1', newPair)), 'token_signature', 'a forged one is no better than before');
    await pass(STEP_MS);
    for (; seen < idp.requests(); seen++) requestsAt.push(monotonicMs());
  }
  for (const from of requestsAt) {
    const inMinute = requestsAt.filter((at) => at >= from && at < from + 60_000).length;
    assert.ok(inMinute <= 3, `${inMinute} requests in a minute`);
  }
  assert.ok(requestsAt.length >= HOUR_MS / 60_000, 'it is still asked');
  idp.publish(jwkOf(newPair, { kid: 'k2' }), jwkOf(pair, { kid: 'k1' }));
  const fresh = sign({}, 'k2', newPair);
  for (let waited = 0; (await ask(fresh)) !== 'ok'; waited += STEP_MS) {
    assert.ok(waited <= 40_000, `not accepted ${waited} ms after the issuer is back`);
    await pass(STEP_MS);
  }
  assert.equal(await ask(longLived), 'ok');
  assert.equal(
    await ask(sign({}, 'never', newPair)),
    'token_key_unknown',
    'what the issuer does not have is 401 again',
  );
});

test('keys that could not be fetched for too long are no keys: everything is 503 until the issuer is back', async (context) => {
  const { idp, pair, identification, pass, sign, ask, nowSeconds } = await createWorld(context, 1800);
  const longLived = sign({ exp: nowSeconds() + 4 * 3600 });
  assert.equal(await ask(longLived), 'ok');
  idp.fail('<html></html>');
  // The last good answer is at most a refresh interval older than the outage.
  await pass(1_200_000);
  assert.equal(await ask(longLived), 'ok');
  assert.equal(identification.isReady(), true);
  await pass(620_000);
  for (const token of [longLived, sign(), sign({}, 'unknown')]) assert.equal(await ask(token), 'keys_unavailable');
  assert.equal(identification.isReady(), false);
  idp.publish(jwkOf(pair, { kid: 'k1' }));
  await pass(40_000);
  await settled(identification.isReady);
  assert.equal(await ask(longLived), 'ok');
});

test('an issuer that was down at the start, however long, is found within 5 s of its return', async (context) => {
  const { idp, pair, identification, pass, sign, ask } = await createWorld(context, 86_400, false);
  assert.equal(identification.isReady(), false);
  await pass(600_000);
  assert.equal(await ask(sign()), 'keys_unavailable');
  idp.publish(jwkOf(pair, { kid: 'k1' }));
  await pass(5_000);
  await settled(identification.isReady);
  assert.equal(await ask(sign()), 'ok');
});

test('a token that was remembered is forgotten when its keys are too old', async (context) => {
  const { idp, pass, sign, ask, nowSeconds } = await createWorld(context, 600);
  const longLived = sign({ exp: nowSeconds() + 4 * 3600 });
  idp.fail();
  await pass(590_000);
  assert.equal(await ask(longLived), 'ok');
  await pass(20_000);
  assert.equal(await ask(longLived), 'keys_unavailable');
});

test('keys are refreshed before they are too old, however long they may be called fresh', async (context) => {
  const { idp, pass, sign, ask } = await createWorld(context, 120);
  for (let minute = 0; minute < 30; minute++) {
    await pass(60_000);
    assert.equal(await ask(sign()), 'ok');
  }
  assert.ok(idp.requests() >= 15, `${idp.requests()} requests`);
});

for (const step of [HOUR_MS, -HOUR_MS]) {
  test(`a wall clock that jumps ${step / HOUR_MS} h: the leeway stays 60 s, refreshing neither stops nor storms`, async (context) => {
    const { idp, pair, pass, stepWall, sign, ask, nowSeconds } = await createWorld(context, 86_400);
    const before = sign();
    assert.equal(await ask(before), 'ok');
    await pass(60_000);
    const requests = idp.requests();
    stepWall(step);
    // Issued by a clock that is an hour away; remembered or not makes no difference.
    const early = step > 0 ? 'token_expired' : 'token_not_yet_valid';
    assert.equal(await ask(before), early);
    assert.equal(await ask(sign({ iat: nowSeconds() - step / 1000, exp: nowSeconds() - step / 1000 + 600 })), early);
    const now = nowSeconds();
    for (const [claims, want] of [
      [{ iat: now - 600, exp: now - 57 }, 'ok'],
      [{ iat: now - 600, exp: now - 61 }, 'token_expired'],
      [{ nbf: now + 57 }, 'ok'],
      [{ nbf: now + 63 }, 'token_not_yet_valid'],
      [{ iat: now + 57 }, 'ok'],
      [{ iat: now + 63 }, 'token_not_yet_valid'],
    ] as const) {
      assert.equal(await ask(sign(claims)), want, JSON.stringify(claims));
    }
    assert.equal(idp.requests(), requests, 'nothing is fetched because of the clock');
    const refreshed = ecPair();
    idp.publish(jwkOf(refreshed, { kid: 'k2' }), jwkOf(pair, { kid: 'k1' }));
    await pass(600_000);
    await settled(() => idp.requests() === requests + 1);
    assert.equal(await ask(sign({}, 'k2', refreshed)), 'ok');
    assert.equal(idp.requests(), requests + 1);
    stepWall(-step);
    assert.equal(await ask(sign()), 'ok');
  });
}
