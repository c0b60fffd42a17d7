import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ecPair, forge, jwkOf, part } from '../support/forge.ts';
import { httpRequest } from '../support/grpc.ts';
import { type Fault, startKeyServer } from '../support/key-server.ts';
import { startLoad } from '../support/paced-load.ts';
import { buildPolicy, scratchFolder, startPostern } from '../support/servers.ts';

const issuer = 'https://i.test/';
const policy = 'package envoy.authz\n\ndefault allow := false\n\nallow if input.identity.subject == "ann"\n';
const TOKENS_PER_KEY = 100;
const ROTATIONS = 5;
const ROTATE_EVERY_MS = 2_400;
const OVERLAP_MS = 1_000;
const IN_FLIGHT_MS = 500;
const PER_SECOND = 2_000;
/** A busy machine may take this long to see what has been sent to it. */
const GRACE_MS = 1_000;
/** Half of the answers are bad, in every way there is, up to three in a row. */
const ANSWERS: readonly Fault[] = [
  ...(['ok', 'status', 'ok', 'cut', 'page', 'ok', 'ok', 'slow', 'ok', 'empty', 'refused', 'status', 'ok'] as const),
  ...(['ok', 'page', 'ok', 'status', 'ok', 'cut', 'empty', 'ok'] as const),
];

type Key = { readonly kid: string; readonly jwk: { readonly kid?: unknown }; readonly requests: readonly Uint8Array[] };

function makeKey(kid: string): Key {
  const pair = ecPair();
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const requests = Array.from({ length: TOKENS_PER_KEY }, (_, jti) =>
    httpRequest({
      headers: {
        authorization: `Bearer ${forge({ alg: 'ES256', kid }, { iss: issuer, sub: 'ann', exp, jti }, pair, 'ES256')}`,
      },
    }),
  );
  return { kid, jwk: jwkOf(pair, { kid, alg: 'ES256', use: 'sig' }), requests };
}

test('keys that are rotated again and again under load, by an issuer half of whose answers are bad, cost nobody a 401', async (context) => {
  const idp = await startKeyServer(context);
  const keys = Array.from({ length: ROTATIONS + 1 }, (_, i) => makeKey(`k${i}`));
  const [first] = keys;
  assert.ok(first !== undefined);
  idp.keys = [first.jwk];
  let asked = 0;
  idp.fault = () => ANSWERS[asked++ % ANSWERS.length] ?? 'ok';
  const folder = scratchFolder(context);
  const server = await startPostern(context, {
    folder,
    args: ['-b', buildPolicy(policy, folder)],
    config: { postern: { identity: { issuers: [{ issuer, jwks_uri: idp.uri }] } } },
  });

  /** Those that sign and are published; tokens of the newest are in use at once. */
  let inUse: readonly Key[] = [first];
  let sent = 0;
  const answers: { readonly kid: string; readonly status: number; readonly sentAtMs: number }[] = [];
  const load = startLoad<string>({
    address: server.grpc,
    perSecond: PER_SECOND,
    next: () => {
      const { kid, requests } = inUse[sent++ % inUse.length] ?? first;
      return { request: requests[sent % requests.length] ?? new Uint8Array(), tag: kid };
    },
    onAnswer: (kid, status, sentAtMs) => answers.push({ kid, status, sentAtMs }),
  });
  const rotatedAt = new Map<string, number>();
  for (const [i, key] of keys.entries()) {
    if (i === 0) continue;
    await sleep(ROTATE_EVERY_MS - OVERLAP_MS - IN_FLIGHT_MS);
    const old = inUse.at(-1) ?? first;
    idp.keys = [key.jwk, old.jwk];
    rotatedAt.set(key.kid, performance.now());
    inUse = [old, key];
    await sleep(OVERLAP_MS);
    inUse = [key];
    // What is on its way with the old key is still good.
    await sleep(IN_FLIGHT_MS);
    idp.keys = [key.jwk];
  }
  await sleep(ROTATE_EVERY_MS);
  await load.stop();

  const last = keys.at(-1)?.kid;
  const byStatus = new Map<string, number>();
  for (const { status } of answers) byStatus.set(String(status), (byStatus.get(String(status)) ?? 0) + 1);
  context.diagnostic(`${JSON.stringify([...byStatus])}, ${idp.requests()} requests for keys`);
  for (const { kid } of keys.slice(1)) {
    const waited = (idp.givenAt(kid) ?? Number.NaN) - (rotatedAt.get(kid) ?? 0);
    context.diagnostic(`${kid} was given ${Math.round(waited)} ms after it was made`);
  }
  assert.ok(answers.length > 2_000, `${answers.length} answers`);
  for (const { kid, status, sentAtMs } of answers) {
    if (status === 200) continue;
    assert.equal(status, 503, `a token of ${kid}`);
    const givenAt = idp.givenAt(kid) ?? Number.POSITIVE_INFINITY;
    assert.ok(
      sentAtMs < givenAt + GRACE_MS,
      `a token of ${kid} was 503 ${Math.round(sentAtMs - givenAt)} ms after its key was given`,
    );
  }
  assert.ok(
    answers.some(({ kid, status }) => kid === last && status === 200),
    'the last key is in use',
  );
  assert.ok((byStatus.get('503') ?? 0) < answers.length / 4, 'few have to wait');
  assert.ok(idp.requests() <= ANSWERS.length * 2, `${idp.requests()} requests for keys`);
});

for (const [what, fault] of [
  ['is down', 'refused'],
  ['is slow', 'slow'],
] as const) {
  test(`a flood of invented keys while the issuer ${what} does not reach it, and does not touch good tokens`, async (context) => {
    const idp = await startKeyServer(context);
    const key = makeKey('k');
    idp.keys = [key.jwk];
    const folder = scratchFolder(context);
    const server = await startPostern(context, {
      folder,
      args: ['-b', buildPolicy(policy, folder)],
      config: { postern: { identity: { issuers: [{ issuer, jwks_uri: idp.uri }] } } },
    });
    idp.fault = () => fault;
    const before = idp.requests();
    const claims = part({ iss: issuer, sub: 'ann', exp: Math.floor(Date.now() / 1000) + 600 });
    let sent = 0;
    const good = new Map<number, number>();
    const invented = new Map<number, number>();
    const latencies: number[] = [];
    const load = startLoad<'good' | 'invented'>({
      address: server.grpc,
      perSecond: PER_SECOND,
      next: () => {
        if (++sent % 2 === 0) return { request: key.requests[sent % TOKENS_PER_KEY] ?? new Uint8Array(), tag: 'good' };
        const token = `${part({ alg: 'ES256', kid: `invented-${sent}` })}.${claims}.${'A'.repeat(86)}`;
        return { request: httpRequest({ headers: { authorization: `Bearer ${token}` } }), tag: 'invented' };
      },
      onAnswer: (tag, status, sentAtMs) => {
        const counts = tag === 'good' ? good : invented;
        counts.set(status, (counts.get(status) ?? 0) + 1);
        if (tag === 'good') latencies.push(performance.now() - sentAtMs);
      },
    });
    await sleep(3_000);
    await load.stop();
    latencies.sort((a, b) => a - b);
    const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? 0;
    context.diagnostic(
      `good ${JSON.stringify([...good])}, p99 ${p99.toFixed(1)} ms; invented ${JSON.stringify([...invented])}`,
    );
    assert.deepEqual([...good.keys()], [200]);
    // Once a slow answer is there, what it does not have does not exist.
    assert.deepEqual(
      [...invented.keys()].filter((status) => status !== 503 && (fault === 'refused' || status !== 401)),
      [],
    );
    assert.ok(idp.requests() - before <= 3, `${idp.requests() - before} requests for keys`);
  });
}
