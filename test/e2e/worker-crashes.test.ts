import assert from 'node:assert/strict';
import { test } from 'node:test';
import { polled } from '../support/bundle-server.ts';
import { checkClient, httpRequest } from '../support/grpc.ts';
import { eventually } from '../support/process.ts';
import { type Server, scratchFolder, startPostern } from '../support/servers.ts';
import { createArchives, moduleOf, startVersions, toldBy, type Versions } from '../support/versions.ts';

const KILLS = 3;
const SWAPS_BETWEEN = 2;

type Worker = { readonly pid: number; readonly ready: boolean; readonly revisions: { readonly main?: string } };

async function workersOf(server: Server): Promise<readonly Worker[]> {
  const response = await fetch(`http://${server.api}/v1/status`);
  return ((await response.json()) as { readonly result: { readonly workers: readonly Worker[] } }).result.workers;
}

/** Two workers that are ready, with the one revision; none of them is `not`. */
const bothReady = (server: Server, revision: string, not = 0): Promise<readonly Worker[]> =>
  eventually(async () => {
    const workers = await workersOf(server);
    const good = workers.filter(({ pid, ready, revisions }) => ready && revisions.main === revision && pid !== not);
    return good.length === 2 ? good : undefined;
  }, 60_000);

/** Asks over new connections until it is told to stop; gives what was wrong with answers. A call may fail: workers die. */
async function lane(server: Server, versions: Versions, isOver: () => boolean, answers: string[]): Promise<void> {
  while (!isOver()) {
    const oldest = versions.confirmed();
    const client = checkClient(server.grpc);
    const reply = await client.send(httpRequest({ path: '/x' }), { deadline: Date.now() + 5000 });
    client.close();
    if (!('response' in reply)) continue;
    const told = toldBy(reply.response.toString('latin1'));
    if (told === undefined) answers.push('a denial');
    else if (told.module !== moduleOf(told.version)) answers.push('module and data of two versions');
    else if (told.version < oldest || told.version > versions.offered())
      answers.push(`v${told.version} after v${oldest}`);
    else answers.push('good');
  }
}

test('workers that are killed while policies are swapped: none answers with what is not active, none is left', async (context) => {
  const folder = scratchFolder(context);
  const { archiveOf } = createArchives(folder);
  const versions = await startVersions(context, archiveOf(0));
  const config = { ...polled(versions.url), postern: { workers: 2 } };
  const server = await startPostern(context, { config, folder });
  const pids = new Set<number>();
  let workers = await bothReady(server, 'v0');
  const answers: string[] = [];
  let isOver = false;
  const load = Promise.all([1, 2, 3].map(() => lane(server, versions, () => isOver, answers)));
  let version = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    for (const { pid } of workers) pids.add(pid);
    const victim = workers[kill % 2]?.pid ?? 0;
    // In the middle of an activation as a rule; one that it ends is tried again.
    const activated = versions.offer(++version, archiveOf(version));
    await new Promise((resolve) => setTimeout(resolve, 70 * kill));
    process.kill(victim, 'SIGKILL');
    await activated;
    for (let swap = 1; swap < SWAPS_BETWEEN; swap++) {
      version++;
      await versions.offer(version, archiveOf(version));
    }
    workers = await bothReady(server, `v${version}`, victim);
  }
  isOver = true;
  await load;
  assert.deepEqual([...new Set(answers)], ['good']);
  for (const { pid } of workers) pids.add(pid);
  assert.equal(pids.size, KILLS + 2);
  assert.equal(await server.stop(), 0);
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  assert.match(server.stderr(), /a worker was lost/);
});
