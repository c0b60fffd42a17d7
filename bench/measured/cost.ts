import { cpuDuring } from '../load/processes.ts';
import { type Bench, type Measured, REQUESTS } from './bench.ts';

/** CPU (user and system) per decision, µs, of a server that is given as much as it can take. */
export type Cost = {
  /** Of the process that serves. */
  readonly micros: number;
  /** Of all its processes. */
  readonly allMicros: number;
  readonly perSecond: number;
};

const CONNECTIONS = 2;
const AT_ONCE = 32;
const WARM_MS = 500;

/**
 * Asks as often as it takes until the code is compiled as far as it gets. By decisions and not by time: in the same time a
 * machine with other things to do gets less far.
 */
export async function warmUp(bench: Bench, { grpc }: Measured, requests = REQUESTS): Promise<void> {
  const wanted = bench.full(30_000, 6000);
  for (let answered = 0; answered < wanted; ) {
    const outcome = await bench.load.run({
      ...{ kind: 'check', address: grpc, connections: CONNECTIONS },
      ...{ requests, milliseconds: WARM_MS, load: { atOnce: AT_ONCE } },
    });
    answered += outcome.answered;
  }
}

export async function costOf(
  { load }: Bench,
  { grpc, pid }: Measured,
  milliseconds: number,
  requests = REQUESTS,
): Promise<Cost> {
  const [{ answered, milliseconds: tookMs }, used] = await cpuDuring(pid, () =>
    load.run({
      ...{ kind: 'check', address: grpc, connections: CONNECTIONS },
      ...{ requests, milliseconds, load: { atOnce: AT_ONCE } },
    }),
  );
  const all = used.reduce((sum, micros) => sum + micros, 0);
  return { micros: (used[0] ?? 0) / answered, allMicros: all / answered, perSecond: answered / (tookMs / 1000) };
}
