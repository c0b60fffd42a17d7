import { join } from 'node:path';
import { root } from '../../test/support/process.ts';
import { createScope } from '../../test/support/scope.ts';
import { median } from '../load/open-loop.ts';
import { metricOf } from '../load/processes.ts';
import { recordedPeer } from '../report/peer.ts';
import type { Goal, Row } from '../report/row.ts';
import {
  ALL_ALLOWED,
  type Bench,
  floorServer,
  type Group,
  type Measured,
  peerServer,
  postern,
  printingTo,
  REQUESTS,
  storeIn,
  whole,
} from './bench.ts';
import { type Cost, costOf, warmUp } from './cost.ts';
import { interleaved, overRounds } from './rounds.ts';

/*
 * CPU per decision: Postern, the peer, and the same transport with nothing behind it; identity and log off and on. The
 * peer's host verifies no tokens: with identity off both read the claims in Rego without verifying them.
 */

export const FLOOR = 'empty handler, same transport';
export const PEER = 'peer: token decoded, no log';
const PEER_LOG = 'peer: token decoded, log on stdout';
const PEER_VERIFY = 'peer: token verified in Rego, no log';
const VERIFY = 'postern: token verified in Rego, no log';
const DECODED = 'postern: token decoded in Rego, no log';
const DECODED_LOG = 'postern: token decoded in Rego, log in the store';
const VERIFIED = 'postern: token verified, no log';
const VERIFIED_LOG = 'postern: token verified, log in the store';
const VERIFIED_FILE = 'postern: token verified, log in a file';
const VERIFIED_STDOUT = 'postern: token verified, log on stdout';
const logged = [VERIFIED_LOG, VERIFIED_FILE, VERIFIED_STDOUT];

const AGAINST_PEER: Goal = { of: 'ratio', most: 0.65 };
const BEHIND_TRANSPORT: Goal = { of: 'figure', most: 40 };
const LOG: Goal = { of: 'ratio', most: 1.15 };

async function startAll(bench: Bench, scope: ReturnType<typeof createScope>): Promise<ReadonlyMap<string, Measured>> {
  const { folder, identity, peer } = bench;
  const servers = new Map<string, Measured>();
  const toFile = (name: string, program: string): string => printingTo(join(folder, name), program);
  const console = { decision_logs: { console: true } };
  if (peer !== undefined) {
    servers.set(PEER, await peerServer(bench, scope, peer, 'decode'));
    servers.set(PEER_LOG, await peerServer(bench, scope, toFile('peer.out', peer), 'decode', console));
    servers.set(PEER_VERIFY, await peerServer(bench, scope, peer, 'verify'));
  }
  servers.set(FLOOR, await floorServer(scope));
  servers.set(VERIFY, await postern(bench, scope, { policy: 'verify' }));
  servers.set(DECODED, await postern(bench, scope, { policy: 'decode' }));
  const store = storeIn(bench, 'cpu-decoded');
  servers.set(DECODED_LOG, await postern(bench, scope, { policy: 'decode', postern: { store } }));
  servers.set(VERIFIED, await postern(bench, scope, { policy: 'verified', postern: { identity } }));
  servers.set(VERIFIED_LOG, await whole(bench, scope, 'cpu-verified'));
  const decision_file = { path: join(folder, 'decisions.log') };
  servers.set(VERIFIED_FILE, await postern(bench, scope, { policy: 'verified', postern: { identity, decision_file } }));
  const program = toFile('postern.out', join(root, 'bin/postern'));
  servers.set(
    VERIFIED_STDOUT,
    await postern(bench, scope, { policy: 'verified', postern: { identity }, config: console, program }),
  );
  return servers;
}

export const cpu: Group = async (bench) => {
  const scope = createScope();
  try {
    const servers = await startAll(bench, scope);
    const requestsFor = (name: string): string => (name === FLOOR ? ALL_ALLOWED : REQUESTS);
    for (const [name, server] of servers) await warmUp(bench, server, requestsFor(name));
    const found = await interleaved([...servers.keys()], bench.full(5, 2), (name) =>
      costOf(bench, servers.get(name) as Measured, bench.full(4000, 1500), requestsFor(name)),
    );
    return [...rowsOf(bench, new Map(Object.entries(found))), await lostBy(servers.get(VERIFIED_LOG))];
  } finally {
    await scope.close();
  }
};

function rowsOf(bench: Bench, found: ReadonlyMap<string, readonly Cost[]>): readonly Row[] {
  const of = (name: string): readonly Cost[] => found.get(name) ?? [];
  const micros = (name: string): readonly number[] => of(name).map((cost) => cost.micros);
  const recorded = recordedPeer();
  // What the peer would cost here: as many times the floor as where it was recorded.
  const peer =
    bench.peer === undefined
      ? micros(FLOOR).map((floor) => (floor * recorded.cpuMicros) / recorded.floorMicros)
      : micros(PEER);
  const mark =
    bench.peer === undefined ? { recorded: `${recorded.note}; taken as that multiple of the empty handler here` } : {};
  const toPeer = (name: string): Row['ratio'] => ({
    to: PEER,
    value: overRounds(micros(name), peer, (one, other) => one / other),
  });
  const peerRow: Row = { name: PEER, figures: [median(peer)], unit: 'µs', rounds: peer, ...mark };
  const rows = [...found.keys()].map((name): Row => {
    if (name === PEER) return peerRow;
    const row: Row = {
      name,
      figures: [median(micros(name))],
      unit: 'µs',
      ratio: toPeer(name),
      rounds: micros(name),
      ...mark,
    };
    return logged.includes(name) ? { ...row, goal: AGAINST_PEER } : row;
  });
  const allProcesses = of(VERIFIED_LOG).map((cost) => cost.allMicros);
  return [
    ...(bench.peer === undefined ? [peerRow] : []),
    ...rows,
    {
      name: `${VERIFIED_LOG}, with the processes of the store`,
      figures: [median(allProcesses)],
      unit: 'µs',
      ratio: { to: PEER, value: overRounds(allProcesses, peer, (one, other) => one / other) },
      ...mark,
    },
    ...[VERIFIED, ...logged].map((name) => less(name, micros(name), micros(FLOOR))),
    ...logged.map((name): Row => {
      const value = overRounds(micros(name), micros(VERIFIED), (on, off) => on / off);
      return { name: `${name}: log on to off`, figures: [], unit: '', ratio: { to: VERIFIED, value }, goal: LOG };
    }),
  ];
}

/** A log that gives up decisions costs less. */
async function lostBy(server: Measured | undefined): Promise<Row> {
  const lost = await metricOf(server?.diagnostic ?? '', 'postern_store_dropped_decisions_total');
  const goal = { of: 'figure', most: 0 } as const;
  return { name: `${VERIFIED_LOG}: not recorded`, figures: [lost], unit: 'decisions', goal };
}

/** What is behind the transport. */
const less = (name: string, values: readonly number[], floor: readonly number[]): Row => ({
  name: `${name}, less the empty handler`,
  figures: [overRounds(values, floor, (one, other) => one - other)],
  unit: 'µs',
  goal: BEHIND_TRANSPORT,
});
