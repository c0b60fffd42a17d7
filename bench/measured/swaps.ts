import { polled } from '../../test/support/bundle-server.ts';
import { createScope } from '../../test/support/scope.ts';
import { startPostern } from '../../test/support/servers.ts';
import { createArchives, startVersions } from '../../test/support/versions.ts';
import type { Outcome } from '../load/jobs.ts';
import { median } from '../load/open-loop.ts';
import { type Bench, type Group, storeIn } from './bench.ts';
import { warmUp } from './cost.ts';
import { latencyRow, loadOf, mostOf, PART, p99Ratio, RATE } from './latency.ts';
import { interleaved } from './rounds.ts';

/*
 * Latency while a bundle is swapped every second, module and data in turn, beside the same without.
 */

const EVERY_MS = 1000;
const SEEN_EVERY_SECONDS = 0.1;

/** The bench's rule, in two modules that differ, with data that differ by version. */
const policyOf = (module: string): string => `package envoy.authz

default allow := false

allow if {
	some prefix in ["/v1/data", "/v1/items"]
	startswith(input.attributes.request.http.path, prefix)
	input.attributes.request.http.method == "GET"
	"analyst" in input.identity.claims.roles
}

allow if input.attributes.request.http.headers["x-module"] == concat("/", ["${module}", data.version])
`;

const windows: { readonly [name: string]: { readonly part: number | undefined; readonly swapped: boolean } } = {
  [`at ${RATE}/s`]: { part: undefined, swapped: false },
  [`at ${RATE}/s, a swap every second`]: { part: undefined, swapped: true },
  [`at ${PART * 100} % of its most`]: { part: PART, swapped: false },
  [`at ${PART * 100} % of its most, a swap every second`]: { part: PART, swapped: true },
};

async function startSwapping(bench: Bench, scope: ReturnType<typeof createScope>) {
  const { folder, identity } = bench;
  const { archiveOf } = createArchives(folder, policyOf);
  const versions = await startVersions(scope, archiveOf(0));
  const polling = { min_delay_seconds: SEEN_EVERY_SECONDS, max_delay_seconds: SEEN_EVERY_SECONDS };
  const config = {
    ...polled(versions.url),
    bundles: { main: { polling } },
    postern: { identity, store: storeIn(bench, 'swaps') },
  };
  const { grpc, process } = await startPostern(scope, { folder, config });
  let version = 0;
  /** Swaps until it is told to stop; resolves with how many became active. */
  async function swapEverySecond(isOver: () => boolean): Promise<number> {
    const first = version;
    for (let dueMs = performance.now() + EVERY_MS; !isOver(); dueMs += EVERY_MS) {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())));
      if (isOver()) break;
      version++;
      await versions.offer(version, archiveOf(version));
    }
    return version - first;
  }
  return { server: { grpc, pid: process.pid ?? 0 }, swapEverySecond };
}

export const swaps: Group = async (bench) => {
  const scope = createScope();
  try {
    const { server, swapEverySecond } = await startSwapping(bench, scope);
    await warmUp(bench, server);
    const most = await mostOf(bench, server);
    const ms = bench.full(10_000, 4000);
    const taken: number[] = [];
    const found = await interleaved(Object.keys(windows), bench.full(5, 2), async (name): Promise<Outcome> => {
      const { part, swapped } = windows[name] as (typeof windows)[string];
      let isOver = !swapped;
      const swapping = swapEverySecond(() => isOver);
      const perSecond = part === undefined ? RATE : most * part;
      const outcome = await loadOf(bench, server.grpc, { perSecond }, ms).finally(() => {
        isOver = true;
      });
      const swaps = await swapping;
      if (swapped) taken.push(swaps / (ms / EVERY_MS));
      return outcome;
    });
    return [...rowsOf(found), { name: 'swaps per second that became active', figures: [median(taken)], unit: '' }];
  } finally {
    await scope.close();
  }
};

function rowsOf(found: { readonly [name: string]: readonly Outcome[] }) {
  return Object.entries(found).map(([name, rounds]) => {
    const [without = ''] = name.split(', a swap');
    const row = latencyRow(name, rounds);
    return without === name ? row : { ...row, ratio: p99Ratio(without, rounds, found[without] ?? []) };
  });
}
