import { type Envoy, startEnvoy } from '../../test/support/envoy.ts';
import { createScope } from '../../test/support/scope.ts';
import type { Outcome } from '../load/jobs.ts';
import { ALL_ALLOWED, type Group, REQUESTS, whole } from './bench.ts';
import { warmUp } from './cost.ts';
import { latencyRow, p99Ratio } from './latency.ts';
import { interleaved, overRounds } from './rounds.ts';

/*
 * What ext_authz adds to the latency of a real Envoy, which answers by itself what is let through.
 */

/** Of which the load generator, Envoy and Postern can all be served by two cores. */
const RATE = 1000;
const WITHOUT = `Envoy at ${RATE}/s, without ext_authz`;
const WITH = `Envoy at ${RATE}/s, with ext_authz: token verified, log in the store`;
const CONNECTIONS = 4;
/** Envoy refuses by itself what comes beyond 1,024 questions at once, which one pause of a busy machine makes of this rate. */
const noBreaker = { circuit_breakers: { thresholds: [{ max_requests: 100_000, max_pending_requests: 100_000 }] } };

export const envoy: Group = async (bench) => {
  const scope = createScope();
  try {
    const { folder, load } = bench;
    const server = await whole(bench, scope, 'envoy');
    await warmUp(bench, server);
    const envoys: { readonly [name: string]: Envoy } = {
      [WITHOUT]: await startEnvoy(scope, { folder, servers: [], upstream: undefined }),
      [WITH]: await startEnvoy(scope, { folder, servers: [server.grpc], upstream: undefined, cluster: noBreaker }),
    };
    const through = (name: string, ms: number): Promise<Outcome> =>
      load.run({
        ...{ kind: 'http', address: `127.0.0.1:${envoys[name]?.port}`, connections: CONNECTIONS },
        ...{ requests: name === WITH ? REQUESTS : ALL_ALLOWED, milliseconds: ms, load: { perSecond: RATE } },
      });
    const names = Object.keys(envoys);
    for (const name of names) await through(name, bench.full(3000, 1500));
    const found = await interleaved(names, bench.full(5, 2), (name) => through(name, bench.full(10_000, 3000)));
    const [without = [], withIt = []] = [found[WITHOUT], found[WITH]];
    const added = (which: 'p50' | 'p99'): number =>
      overRounds(withIt, without, (one, other) => one[which] - other[which]);
    return [
      latencyRow(WITHOUT, without),
      { ...latencyRow(WITH, withIt), ratio: p99Ratio(WITHOUT, withIt, without) },
      { name: 'added to p50', figures: [added('p50')], unit: 'ms' },
      { name: 'added to p99', figures: [added('p99')], unit: 'ms', goal: { of: 'figure', most: 2 } },
    ];
  } finally {
    await scope.close();
  }
};
