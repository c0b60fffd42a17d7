/*
 * `npm run bench:check`: CPU of everything behind the transport, CheckRequest bytes in and CheckResponse bytes out, for
 * requests that all differ, and of making the log's line of each; which is kept nowhere.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Check, createCheck } from '../../src/check/check.ts';
import { requireConfiguration } from '../../src/cli/configuration.ts';
import { createEventWriter } from '../../src/decisions/event.ts';
import { readRequest } from '../../src/envoy/request.ts';
import { writeResponse } from '../../src/envoy/response.ts';
import { createIdentify } from '../../src/identity/identify.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { DecisionRecord } from '../../src/model/record.ts';
import { toDecision } from '../../src/policy/decision.ts';
import { createWasmInstance } from '../../src/policy/engine/wasm.ts';
import { prepareSnapshot } from '../../src/policy/snapshot.ts';
import { buildModule } from '../../test/support/modules.ts';
import { root } from '../../test/support/process.ts';
import { createScope } from '../../test/support/scope.ts';
import { scratchFolder } from '../../test/support/servers.ts';
import { benchIssuer, createCallers } from '../load/requests.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 9);
const PER_ROUND = 10_000;
const PATH = 'envoy/authz/allow';

const scope = createScope();
const folder = scratchFolder(scope);
const { requests, jwks } = await createCallers();
const questions = requests(1000)
  .filter(({ isAllowed }) => isAllowed)
  .map(({ check }) => check);
const keys = join(folder, 'keys.json');
writeFileSync(keys, JSON.stringify(jwks));
const configFile = join(folder, 'config.json');
const issuers = [{ issuer: benchIssuer, jwks_file: keys }];
writeFileSync(configFile, JSON.stringify({ postern: { identity: { required: true, issuers } } }));
const config = requireConfiguration({ configFile, set: [], setFile: [] }, {});
if (config.postern.identity === undefined) throw new Error('no identity');

const identification = createIdentify({
  config: config.postern.identity,
  clock: systemClock,
  random: Math.random,
  log: { warn: () => {} },
  onCache: () => {},
  onKeys: () => {},
  onReady: () => {},
});
await identification.start();
const policy = readFileSync(join(root, 'bench/fixtures/verified/policy.rego'), 'utf8');
const limits = { memoryBytes: 64 * 1_048_576, steps: 30_000_000, builtinMs: 250 };
const instance = await createWasmInstance(buildModule(policy, folder, [PATH]), '{}', limits, PATH);
const prepared = await prepareSnapshot([{ instance, entrypoints: [PATH] }], PATH);
const snapshot = { ...prepared, revisions: { bench: '1' }, digests: {} };

const checkWith = (record: (record: DecisionRecord) => void): Check =>
  createCheck({
    clock: systemClock,
    pin: () => snapshot,
    identify: identification.identify,
    toDecision,
    reserve: undefined,
    record: (decision) => {
      record(decision);
      return undefined;
    },
    input: { paths: 'standard', skipBody: false, protoDescriptor: undefined },
    contextOf: undefined,
    passOnOf: undefined,
    dryRun: false,
    maxInFlight: 1000,
    budgetMs: 1000,
  });

const toLine = createEventWriter({ id: 'bench' });
let characters = 0;
const candidates: { readonly name: string; readonly run: () => Promise<void>; readonly micros: number[] }[] = [];
const add = (name: string, one: (request: Buffer) => unknown): void => {
  let next = 0;
  const run = async (): Promise<void> => {
    for (let i = 0; i < PER_ROUND; i++) {
      const pending = one(questions[next++ % questions.length] as Buffer);
      if (pending instanceof Promise) await pending;
    }
  };
  candidates.push({ name, run, micros: [] });
};
const answering =
  (check: Check) =>
  async (request: Buffer): Promise<void> => {
    const answer = await check({ request: readRequest(request), deadlineMs: Number.POSITIVE_INFINITY });
    const response = writeResponse(answer);
    if (response[0] !== 0x0a || response[1] !== 0x00) throw new Error(`not allowed: ${JSON.stringify(answer.outcome)}`);
  };
add('reading the request', readRequest);
add('the whole check', answering(checkWith(() => {})));
add(
  'the whole check, and its line in the log',
  answering(
    checkWith((record) => {
      characters += toLine(record)?.length ?? 0;
    }),
  ),
);

for (let round = 0; round < ROUNDS; round++) {
  for (const { run, micros } of candidates) {
    const before = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(before);
    micros.push((user + system) / PER_ROUND);
  }
}
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
process.stdout.write(
  `Node ${process.versions.node}, ${questions[0]?.length} bytes, ${characters} characters of lines\n\n`,
);
process.stdout.write('| | CPU, µs |\n|---|---|\n');
for (const { name, micros } of candidates) process.stdout.write(`| ${name} | ${median(micros).toFixed(1)} |\n`);
identification.stop();
await scope.close();
