/*
 * `npm run bench`: CPU (user and system) of the server process per decision, Postern and, when `PEER` names its binary,
 * opa-envoy-plugin, side by side in one run, with the same Rego and the same requests. Only ratios of one run mean
 * something: machines differ, and these may be shared.
 */
import { cpSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { readResponse } from '../../test/support/grpc.ts';
import { root } from '../../test/support/process.ts';
import { createScope } from '../../test/support/scope.ts';
import { buildBundle, type Server, scratchFolder, startPeer, startPostern } from '../../test/support/servers.ts';
import { cpuMicros, runLoad } from '../load/client.ts';
import { benchIssuer, benchRequests } from '../load/requests.ts';

const WARM_UP_MS = 3000;
const ROUND_MS = Number(process.env['BENCH_MS'] ?? 4000);
const ROUNDS = 3;

type Candidate = { readonly name: string; readonly server: Server; readonly perDecision: number[] };

const scope = createScope();
const out = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  const folder = scratchFolder(scope);
  const { requests, jwks } = await benchRequests(1000);
  const keys = join(folder, 'keys.json');
  writeFileSync(keys, JSON.stringify(jwks));
  const fixture = (name: string): string => join(root, 'bench/fixtures', name);
  const bundle = (name: string): string => buildBundle([fixture(name)], join(folder, `${name}.tar.gz`));
  const identity = { required: true, issuers: [{ issuer: benchIssuer, jwks_file: keys }] };
  const candidates: Candidate[] = [];
  const add = async (name: string, starting: Promise<Server>): Promise<void> => {
    candidates.push({ name, server: await starting, perDecision: [] });
  };
  // The keys are made for this run, so they come beside the policy.
  const verify = join(folder, 'verify');
  cpSync(fixture('verify'), verify, { recursive: true });
  writeFileSync(join(verify, 'data.json'), JSON.stringify({ keys: JSON.stringify(jwks) }));
  const peer = process.env['PEER'];
  if (peer !== undefined && peer !== '') {
    await add('peer, token decoded', startPeer(scope, peer, { folder, args: ['--bundle', fixture('decode')] }));
    await add('peer, token verified in Rego', startPeer(scope, peer, { folder, args: ['--bundle', verify] }));
  }
  await add(
    'postern, token verified in Rego',
    startPostern(scope, { folder, args: ['--bundle', buildBundle([verify], join(folder, 'verify.tar.gz'))] }),
  );
  await add('postern, token decoded', startPostern(scope, { folder, args: ['--bundle', bundle('decode')] }));
  await add(
    'postern, token verified',
    startPostern(scope, {
      folder,
      args: ['--bundle', bundle('verified')],
      config: { postern: { identity } },
    }),
  );
  await add(
    'postern, token verified, decisions logged',
    startPostern(scope, {
      folder,
      args: ['--bundle', bundle('verified')],
      config: { postern: { identity, decision_file: { path: join(folder, 'decisions.log') } } },
    }),
  );

  const [first = Buffer.alloc(0)] = requests;
  out(
    `Node ${process.versions.node}, ${cpus()[0]?.model ?? 'unknown CPU'}, ${requests.length} requests of ${first.length} bytes`,
  );
  const load = (server: Server, milliseconds: number): ReturnType<typeof runLoad> =>
    runLoad({
      address: server.grpc,
      requests,
      connections: 2,
      streamsPerConnection: 16,
      milliseconds,
      isRight: (response) => JSON.stringify(readStatus(response)) === '{}',
    });
  for (const { server } of candidates) await load(server, WARM_UP_MS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name, server, perDecision } of candidates) {
      const pid = server.process.pid ?? 0;
      const before = cpuMicros(pid);
      const { answered, wrong } = await load(server, ROUND_MS);
      if (wrong > 0) throw new Error(`${name}: ${wrong} of ${answered} answers are wrong`);
      perDecision.push((cpuMicros(pid) - before) / answered);
    }
  }
  const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
  const base = median(candidates[0]?.perDecision ?? [1]);
  out('\n| server | CPU per decision, µs | ratio |\n|---|---|---|');
  for (const { name, perDecision } of candidates) {
    out(`| ${name} | ${median(perDecision).toFixed(1)} | ${(median(perDecision) / base).toFixed(2)} |`);
  }
} finally {
  await scope.close();
}

/** The status alone; an allow's is empty. Decoded in full only once in a while, to leave the CPU to the servers. */
function readStatus(response: Buffer): unknown {
  if (response[0] === 0x0a && response[1] === 0x00) return {};
  return readResponse(response)['status'];
}
