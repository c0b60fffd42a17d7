import { cpus } from 'node:os';
import { createScope } from '../../test/support/scope.ts';
import { type Generator, startGenerator } from '../load/generators.ts';
import type { Outcome } from '../load/jobs.ts';
import { median } from '../load/open-loop.ts';
import { cpuDuring } from '../load/processes.ts';
import type { Goal, Row } from '../report/row.ts';
import { type Bench, COUNT, type Group, type Measured, postern, REQUESTS, storeIn } from './bench.ts';
import { warmUp } from './cost.ts';
import { interleaved, overRounds } from './rounds.ts';

/*
 * Two workers beside one. Where the load generator needs the cores that they should have, decisions per second say nothing;
 * then it is by CPU: how many decisions there would be in a second in which the busiest worker has a core for itself, and
 * all processes together no more than two.
 */

const ONE = 'one worker';
const TWO = 'two workers';
const CORES = 2;
const CONNECTIONS = 8;
const AT_ONCE = 64;
const GENERATORS = 2;
const names = [ONE, TWO] as const;
const GOAL: Goal = { of: 'ratio', least: 1.7 };

type Scale = {
  readonly perSecond: number;
  /** As it would be by CPU. */
  readonly byCpu: number;
  /** Share of the busiest process. */
  readonly busiest: number;
};

const serve = (bench: Bench, scope: ReturnType<typeof createScope>, workers: number): Promise<Measured> => {
  const store = storeIn(bench, `workers-${workers}`);
  return postern(bench, scope, { policy: 'verified', postern: { identity: bench.identity, store, workers } });
};

export const workers: Group = async (bench) => {
  const scope = createScope();
  try {
    const hasRoom = cpus().length >= CORES + GENERATORS;
    const generators = [bench.load];
    if (hasRoom) {
      const another = startGenerator(scope);
      another.give(REQUESTS, bench.callers.requests(COUNT));
      generators.push(another);
    }
    const servers = { [ONE]: await serve(bench, scope, 1), [TWO]: await serve(bench, scope, 2) };
    const scale = async (name: keyof typeof servers, milliseconds: number): Promise<Scale> => {
      const { grpc: address, pid } = servers[name] as Measured;
      const run = ({ run: ask }: Generator): Promise<Outcome> =>
        ask({
          ...{ kind: 'check', address, connections: CONNECTIONS, requests: REQUESTS },
          ...{ milliseconds, load: { atOnce: AT_ONCE } },
        });
      const [outcomes, micros] = await cpuDuring(pid, () => Promise.all(generators.map(run)));
      const used = micros.map((each) => each / 1e6);
      const answered = outcomes.reduce((sum, outcome) => sum + outcome.answered, 0);
      const all = used.reduce((sum, seconds) => sum + seconds, 0);
      const most = Math.max(...used);
      const perSecond = outcomes.reduce((sum, each) => sum + each.answered / (each.milliseconds / 1000), 0);
      return { perSecond, byCpu: answered / Math.max(most, all / CORES), busiest: most / all };
    };
    for (const name of names) await warmUp(bench, servers[name]);
    const found = await interleaved(names, bench.full(5, 2), (name) => scale(name, bench.full(5000, 2000)));
    return rowsOf(found[ONE] ?? [], found[TWO] ?? [], hasRoom);
  } finally {
    await scope.close();
  }
};

function rowsOf(one: readonly Scale[], two: readonly Scale[], hasRoom: boolean): readonly Row[] {
  const of = (name: string, rounds: readonly Scale[], which: 'perSecond' | 'byCpu'): Row => {
    const values = rounds.map((round) => round[which]);
    return { name, figures: [median(values)], unit: '/s', rounds: values };
  };
  const ratio = (which: 'perSecond' | 'byCpu'): Row['ratio'] => ({
    to: ONE,
    value: overRounds(two, one, (more, less) => more[which] / less[which]),
  });
  const judged = hasRoom ? 'perSecond' : 'byCpu';
  const goalIf = (isJudged: boolean): Pick<Row, 'goal'> => (isJudged ? { goal: GOAL } : {});
  const beside = hasRoom ? '' : ', the load generator on the same cores';
  return [
    of(`${ONE}: decisions per second${beside}`, one, 'perSecond'),
    {
      ...of(`${TWO}: decisions per second${beside}`, two, 'perSecond'),
      ratio: ratio('perSecond'),
      ...goalIf(judged === 'perSecond'),
    },
    of(`${ONE}: by CPU`, one, 'byCpu'),
    { ...of(`${TWO}: by CPU`, two, 'byCpu'), ratio: ratio('byCpu'), ...goalIf(judged === 'byCpu') },
    {
      name: `${TWO}: part of the CPU that the busiest process has`,
      figures: [median(two.map((each) => each.busiest))],
      unit: '',
    },
  ];
}
