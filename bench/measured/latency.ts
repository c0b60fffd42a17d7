import { createScope } from '../../test/support/scope.ts';
import type { Job, Outcome } from '../load/jobs.ts';
import { median } from '../load/open-loop.ts';
import { recordedPeer } from '../report/peer.ts';
import type { Row } from '../report/row.ts';
import { type Bench, type Group, type Measured, peerServer, postern, REQUESTS, whole } from './bench.ts';
import { warmUp } from './cost.ts';
import { interleaved, overRounds } from './rounds.ts';

/*
 * Latency of an open loop, at a rate that is given and at a part of what the server can do at most.
 */

export const RATE = 2000;
export const PART = 0.85;
const CONNECTIONS = 4;
const AT_ONCE = 64;

export const PEER_LATENCY = `peer at ${RATE}/s: token decoded, no log`;
const OFF = `postern at ${RATE}/s: token verified, no log`;
const ON = `postern at ${RATE}/s: token verified, log in the store`;
const MOST = `postern at ${PART * 100} % of its most: token verified, log in the store`;

/** p50, p99 and p99.9, each the median over the rounds. */
export const quantilesOf = (rounds: readonly Outcome[]): readonly number[] =>
  (['p50', 'p99', 'p999'] as const).map((which) => median(rounds.map((round) => round[which])));

export const p99Of = (rounds: readonly Outcome[]): readonly number[] => rounds.map(({ p99 }) => p99);

export const latencyRow = (name: string, rounds: readonly Outcome[]): Row => ({
  name,
  figures: quantilesOf(rounds),
  unit: 'ms',
  rounds: p99Of(rounds),
});

export const p99Ratio = (to: string, one: readonly Outcome[], other: readonly Outcome[]): Row['ratio'] => ({
  to: `p99 of ${to}`,
  value: overRounds(one, other, (a, b) => a.p99 / b.p99),
});

/** Checks, at a rate or as many as can be. */
export const loadOf = (bench: Bench, address: string, load: Job['load'], milliseconds: number): Promise<Outcome> =>
  bench.load.run({ kind: 'check', address, connections: CONNECTIONS, requests: REQUESTS, milliseconds, load });

/** The most decisions per second, the median of a few tries. */
export async function mostOf(bench: Bench, { grpc }: Measured): Promise<number> {
  const tries: number[] = [];
  for (let i = 0; i < bench.full(5, 2); i++) {
    const { answered, milliseconds } = await loadOf(bench, grpc, { atOnce: AT_ONCE }, bench.full(4000, 1500));
    tries.push(answered / (milliseconds / 1000));
  }
  return median(tries);
}

export const latency: Group = async (bench) => {
  const scope = createScope();
  try {
    const { identity, peer } = bench;
    const servers = new Map<string, Measured>();
    if (peer !== undefined) servers.set(PEER_LATENCY, await peerServer(bench, scope, peer, 'decode'));
    servers.set(OFF, await postern(bench, scope, { policy: 'verified', postern: { identity } }));
    const on = await whole(bench, scope, 'latency');
    servers.set(ON, on).set(MOST, on);
    for (const server of new Set(servers.values())) await warmUp(bench, server);
    const most = await mostOf(bench, on);
    const found = await interleaved([...servers.keys()], bench.full(5, 2), (name) => {
      const perSecond = name === MOST ? most * PART : RATE;
      return loadOf(bench, servers.get(name)?.grpc ?? '', { perSecond }, bench.full(10_000, 3000));
    });
    const late = median(Object.values(found).flatMap((rounds) => rounds.map(({ ownDelayMs }) => ownDelayMs)));
    return [
      ...rowsOf(bench, found),
      { name: 'postern: most per second', figures: [most], unit: '/s' },
      { name: 'the load generator itself was late by, at most', figures: [late], unit: 'ms' },
    ];
  } finally {
    await scope.close();
  }
};

function rowsOf(bench: Bench, found: { readonly [name: string]: readonly Outcome[] }): readonly Row[] {
  const of = (name: string): readonly Outcome[] => found[name] ?? [];
  const [on, off, most] = [of(ON), of(OFF), of(MOST)];
  return [
    ...peerRows(bench, of(PEER_LATENCY), on),
    latencyRow(OFF, off),
    { ...latencyRow(ON, on), ratio: p99Ratio(OFF, on, off), goal: { of: 'ratio', most: 1.2 } },
    latencyRow(MOST, most),
  ];
}

function peerRows({ peer }: Bench, there: readonly Outcome[], on: readonly Outcome[]): readonly Row[] {
  const { latencyMs, note } = recordedPeer();
  const to = `p99 of ${PEER_LATENCY}`;
  const beside = { name: `${ON}: p99 to the peer's`, figures: [], unit: '', goal: { of: 'ratio', most: 1 } } as const;
  if (peer !== undefined)
    return [latencyRow(PEER_LATENCY, there), { ...beside, ratio: p99Ratio(PEER_LATENCY, on, there) }];
  if (latencyMs === undefined) return [];
  const value = median(p99Of(on)) / (latencyMs[1] ?? Number.NaN);
  return [
    { name: PEER_LATENCY, figures: latencyMs, unit: 'ms', recorded: note },
    { ...beside, ratio: { to, value }, recorded: note },
  ];
}
