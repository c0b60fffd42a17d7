/*
 * `npm run bench:token`: what it costs to know who is calling, for requests as Envoy sends them: a token that was verified
 * before, and tokens that are seen for the first time, by algorithm, good and bad. Verifying waits for threads of Node's, so
 * that its time (one after another) and its CPU differ.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createIdentify, type Identification } from '../../src/identity/identify.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { onlyHeader } from '../../src/lib/request-headers.ts';
import type { RequestFacts } from '../../src/model/facts.ts';
import type { IdentityResult } from '../../src/model/identity.ts';
import { facts } from '../../test/support/facts.ts';
import { ecPair, edPair, forge, jwkOf, type Pair, rsaPair } from '../../test/support/forge.ts';
import { createScope } from '../../test/support/scope.ts';
import { scratchFolder } from '../../test/support/servers.ts';
import { headersOf } from '../load/requests.ts';

const issuer = 'https://idp.bench/';
const ROUNDS = 7;
const TOKENS = 500;
const HITS_PER_ROUND = 100_000;

const pairs: { readonly [alg: string]: Pair } = { RS256: rsaPair(), ES256: ecPair(), EdDSA: edPair() };

function requestOf(alg: string, pair: Pair, n: number): RequestFacts {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    ...{ iss: issuer, sub: `user-${n}`, aud: ['api', 'web'], iat: now, exp: now + 3600, jti: `j-${alg}-${n}` },
    ...{ roles: ['analyst', 'viewer'], tenant: `tenant-${n % 50}`, region: 'eu', email: `user-${n}@bench.example` },
    ...{ scope: 'openid profile email read:items write:items', azp: 'web-frontend', sid: `s-${n * 7919}` },
  };
  const token = forge({ alg, kid: alg, typ: 'JWT' }, claims, pair, alg);
  const path = `/v1/items/${n}?page=${n % 7}`;
  return facts({
    path,
    host: 'api.bench',
    headers: headersOf(n, path, token),
    sourcePrincipal: 'spiffe://cluster.local/ns/web/sa/frontend',
  });
}

async function begin(file: string): Promise<Identification> {
  const identification = createIdentify({
    config: {
      required: true,
      token: { header: 'authorization', scheme: 'bearer', cookie: null, query: null, metadata: null, forward: true },
      rules: [],
      workload: { trust_domains: ['cluster.local'], xfcc: false },
      claims_to_headers: {},
      identity_headers: [],
      remove_forwarded: false,
      issuers: [
        {
          issuer,
          jwks_file: file,
          verified_by: 'postern',
          discovery: false,
          audiences: ['api'],
          algorithms: ['RS256', 'ES256', 'EdDSA'],
          leeway_seconds: 60,
          max_lifetime_seconds: 86_400,
          jwks_mirrors: [],
          allow_http: false,
          max_stale_seconds: 86_400,
          required_claims: [],
        },
      ],
    },
    clock: systemClock,
    random: Math.random,
    log: { warn: () => {} },
    onCache: () => {},
    onKeys: () => {},
    onReady: () => {},
  });
  await identification.start();
  return identification;
}

function mustBe(result: IdentityResult, subject: string | undefined): void {
  const seen = result.ok ? result.identity?.subject : undefined;
  if (seen !== subject) throw new Error(`${seen} instead of ${subject}: ${JSON.stringify(result)}`);
}

type Cost = { readonly micros: number; readonly cpuMicros: number };

async function measure(calls: number, run: () => void | Promise<void>): Promise<Cost> {
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const running = run();
  if (running !== undefined) await running;
  const { user, system } = process.cpuUsage(cpu);
  return { micros: ((performance.now() - startedAt) * 1000) / calls, cpuMicros: (user + system) / calls };
}

const scope = createScope();
const file = join(scratchFolder(scope), 'keys.json');
writeFileSync(
  file,
  JSON.stringify({ keys: Object.entries(pairs).map(([kid, pair]) => jwkOf(pair, { kid, alg: kid })) }),
);

/** The same token with one character of its signature changed. */
function spoiled(request: RequestFacts): RequestFacts {
  const value = onlyHeader(request, 'authorization') ?? '';
  const at = value.lastIndexOf('.') + 5;
  const other = value[at] === 'A' ? 'B' : 'A';
  return facts({ headers: { authorization: value.slice(0, at) + other + value.slice(at + 1) } });
}

const requests = Object.fromEntries(
  Object.entries(pairs).map(([alg, pair]) => [alg, Array.from({ length: TOKENS }, (_, n) => requestOf(alg, pair, n))]),
);
const rows: { readonly name: string; readonly costs: Cost[] }[] = [];
const row = (name: string): Cost[] => {
  const found = rows.find((other) => other.name === name);
  if (found !== undefined) return found.costs;
  const costs: Cost[] = [];
  rows.push({ name, costs });
  return costs;
};

for (let round = 0; round < ROUNDS; round++) {
  const identification = await begin(file);
  const { identify } = identification;
  for (const [alg, list] of Object.entries(requests)) {
    const cost = await measure(list.length, async () => {
      for (const [n, request] of list.entries()) mustBe(await identify(request), `user-${n}`);
    });
    row(`miss, ${alg}`).push(cost);
  }
  for (const [alg, list] of Object.entries(requests)) {
    const bad = list.map(spoiled);
    const cost = await measure(bad.length, async () => {
      for (const request of bad) mustBe(await identify(request), undefined);
    });
    row(`bad signature, ${alg}`).push(cost);
  }
  const [known = []] = Object.values(requests);
  const cost = await measure(HITS_PER_ROUND, () => {
    for (let i = 0; i < HITS_PER_ROUND; i++) {
      const n = i % TOKENS;
      const result = identify(known[n] as RequestFacts);
      if (result instanceof Promise || !result.ok || result.identity?.workload === undefined) throw new Error('no hit');
      if (result.identity.subject !== `user-${n}`) throw new Error('another subject');
    }
  });
  row('hit').push(cost);
  identification.stop();
}
await scope.close();

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
const length = onlyHeader(requests['RS256']?.[0] ?? facts(), 'authorization')?.length;
process.stdout.write(`Node ${process.versions.node}, ${length} characters of RS256, medians of ${ROUNDS} rounds\n\n`);
process.stdout.write('| | µs | CPU, µs |\n|---|---|---|\n');
for (const { name, costs } of [...rows].reverse()) {
  const [wall, cpu] = [median(costs.map(({ micros }) => micros)), median(costs.map(({ cpuMicros }) => cpuMicros))];
  process.stdout.write(`| ${name} | ${wall.toFixed(2)} | ${cpu.toFixed(2)} |\n`);
}
