import { createScope } from '../../test/support/scope.ts';
import { median } from '../load/open-loop.ts';
import { sumOf, treeOf } from '../load/processes.ts';
import type { Row } from '../report/row.ts';
import { type Group, postern, storeIn } from './bench.ts';
import { loadOf } from './latency.ts';

/*
 * RSS over minutes of a load that varies: as much as can be, a good deal, and little. Growth counts from when caches are
 * full and code is compiled.
 */

const MIB = 1_048_576;
/** Enough for the oldest decisions to be removed while it runs. */
const KEPT_BYTES = 256 * MIB;
const SAMPLE_MS = 500;
const phases = [{ atOnce: 64 }, { perSecond: 2000 }, { atOnce: 8 }, { perSecond: 200 }] as const;

type Sample = { readonly serving: number; readonly all: number };

export const memory: Group = async (bench) => {
  const scope = createScope();
  try {
    const { identity } = bench;
    const store = { ...storeIn(bench, 'memory'), retention: { max_bytes: KEPT_BYTES } };
    const { grpc, pid } = await postern(bench, scope, { policy: 'verified', postern: { identity, store } });
    const now = (): Sample => {
      const tree = treeOf(pid);
      return { serving: (tree[0]?.rssBytes ?? 0) / MIB, all: sumOf(tree, 'rssBytes') / MIB };
    };
    /** All phases once; gives the medians. */
    const cycle = async (): Promise<Sample> => {
      const samples: Sample[] = [];
      const sampling = setInterval(() => samples.push(now()), SAMPLE_MS);
      try {
        for (const load of phases) await loadOf(bench, grpc, load, bench.full(15_000, 2000));
      } finally {
        clearInterval(sampling);
      }
      return { serving: median(samples.map((one) => one.serving)), all: median(samples.map((one) => one.all)) };
    };
    await cycle();
    const cycles: Sample[] = [];
    for (let i = 0; i < bench.full(10, 2); i++) cycles.push(await cycle());
    await new Promise((resolve) => setTimeout(resolve, bench.full(15_000, 3000)));
    return rowsOf(cycles, now());
  } finally {
    await scope.close();
  }
};

function rowsOf(cycles: readonly Sample[], after: Sample): readonly Row[] {
  const [first, last] = [cycles[0] as Sample, cycles.at(-1) as Sample];
  const row = (name: string, which: keyof Sample): readonly Row[] => [
    { name: `${name}: under load, after the first minute`, figures: [first[which]], unit: 'MiB' },
    {
      name: `${name}: under load, at the end`,
      figures: [last[which]],
      unit: 'MiB',
      ratio: { to: 'after the first minute', value: last[which] / first[which] },
      rounds: cycles.map((cycle) => cycle[which]),
      ...(which === 'serving' ? ({ goal: { of: 'ratio', most: 1.1 } } as const) : {}),
    },
    {
      name: `${name}: after the load`,
      figures: [after[which]],
      unit: 'MiB',
      ratio: { to: 'after the first minute', value: after[which] / first[which] },
    },
  ];
  return [...row('the process that serves', 'serving'), ...row('all processes, with the store', 'all')];
}
