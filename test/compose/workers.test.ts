import assert from 'node:assert/strict';
import { describe, mock, type TestContext, test } from 'node:test';
import type { Policy } from '../../src/bundles/activate.ts';
import type { WorkerProcess } from '../../src/cli/ports.ts';
import { createWorkerGroup, type WorkerGroup } from '../../src/compose/workers/group.ts';
import type { PrimaryFunctions } from '../../src/compose/workers/protocol.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createChannel, type Pipe } from '../../src/lib/channel.ts';
import { createLogger } from '../../src/telemetry/logger.ts';

/** What a worker does other than answer at once. */
type Behaviour = { readonly [name: string]: ((argument: never) => unknown) | undefined };

/** A worker process that is none: its end of the pipe, and what it was asked. */
type Fake = {
  readonly calls: string[];
  readonly killed: () => boolean;
  readonly beat: () => void;
  /** From now on it says that it has so many. */
  readonly connect: (connections: number) => void;
  /** From now on it hangs. */
  readonly silence: () => void;
  /** Ends; the system tells of the end of the process and of its pipe in any order. */
  readonly die: (told?: 'exit first' | 'pipe first') => void;
};

const never = (): Promise<never> => new Promise(() => {});

/** Lets everything happen that needs no time. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
}

function pipePair(): { readonly ours: Pipe; readonly theirs: Pipe; readonly close: () => void } {
  const listeners: ((message: unknown) => void)[][] = [[], []];
  const closers: (() => void)[] = [];
  let open = true;
  const end = (mine: number, other: number): Pipe => ({
    send: (message) => {
      queueMicrotask(() => {
        if (open) for (const listener of listeners[other] ?? []) listener(structuredClone(message));
      });
      return open;
    },
    onMessage: (listener) => void listeners[mine]?.push(listener),
    onClose: (listener) => void closers.push(listener),
  });
  const close = (): void => {
    open = false;
    for (const closer of closers) closer();
  };
  return { ours: end(0, 1), theirs: end(1, 0), close };
}

function fakeWorker(behaviour: Behaviour): { readonly fake: Fake; readonly process: WorkerProcess } {
  const { ours, theirs, close } = pipePair();
  const calls: string[] = [];
  let [killed, silent, connections] = [false, false, 0];
  const { promise: exited, resolve: exit } = Promise.withResolvers<string>();
  const does: Behaviour = {
    listen: () => '127.0.0.1:9191',
    metrics: () => [],
    stop: () => {
      setImmediate(() => die());
      return [];
    },
    ...behaviour,
  };
  const names = ['start', 'receive', 'receivePart', 'prepare', 'commit', 'abandon', 'setStale', 'keysChanged'];
  const handlers = [...names, 'listen', 'metrics', 'reload', 'sendOneAway', 'retire', 'stop'].map((name) => [
    name,
    (argument: never) => {
      calls.push(name);
      return does[name]?.(argument);
    },
  ]);
  const primary = createChannel<PrimaryFunctions>(theirs, Object.fromEntries(handlers));
  const die = (told: 'exit first' | 'pipe first' = 'exit first'): void => {
    if (told === 'pipe first') close();
    exit('signal SIGKILL');
    if (told === 'exit first') setImmediate(close);
  };
  return {
    fake: {
      calls,
      killed: () => killed,
      beat: () => {
        if (!silent) primary.call('beat', { ready: true, connections }).catch(() => {});
      },
      connect: (count) => {
        connections = count;
      },
      silence: () => {
        silent = true;
      },
      die,
    },
    process: {
      pid: 1000,
      pipe: ours,
      exited,
      kill: () => {
        killed = true;
        die();
      },
    },
  };
}

const policy = (revision: string): Policy => ({
  modules: [],
  data: Buffer.from('{}'),
  revisions: { main: revision },
  digests: {},
});
const offered = (status: readonly object[]): readonly unknown[] =>
  status.map((member) => (member as { readonly revisions: { readonly main?: string } }).revisions.main);

type Setup = {
  readonly group: WorkerGroup;
  readonly forked: Fake[];
  readonly commit: (revision: string) => Promise<void>;
  readonly pass: (ms: number) => Promise<void>;
  /** Time goes on, and nothing is done in this process. */
  readonly block: (ms: number) => void;
  readonly lost: () => number;
};

/** `behave` gives what the nth process does, counted from 1. */
function setUp(context: TestContext, behave: (nth: number) => Behaviour = () => ({})): Setup {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  context.after(() => mock.timers.reset());
  const loaded = loadConfig({
    ...{ text: undefined, env: {}, set: [], setFile: [] },
    ...{ readText: () => '', isReadable: () => true },
  });
  assert.ok(loaded.ok);
  const forked: Fake[] = [];
  let nowMs = 0;
  let lost = 0;
  const group = createWorkerGroup({
    count: 2,
    fork: () => {
      const { fake, process } = fakeWorker(behave(forked.length + 1));
      forked.push(fake);
      return process;
    },
    settings: { config: loaded.config, instanceId: 'i', logging: { level: 'error', format: 'json' } },
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs },
    log: createLogger('error', 'json', { write: () => true }),
    keys: { keyStateOf: () => ({ text: null, ageMs: 0, error: null }), lookForKey: async () => 'unknown' },
    onLost: () => void lost++,
    onChanged: () => {},
  });
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 500) {
      nowMs += 500;
      for (const fake of forked) fake.beat();
      await settle();
      mock.timers.tick(500);
      await settle();
    }
  };
  return {
    ...{ group, forked, pass },
    block: (ms) => {
      nowMs += ms;
      mock.timers.tick(1000);
    },
    commit: async (revision) => (await group.prepare(policy(revision))).commit(),
    lost: () => lost,
  };
}

describe('the workers of a server', () => {
  test('a worker that dies between preparing and committing is replaced by one with the new policy', async (context) => {
    const { group, forked, commit, pass, lost } = setUp(context);
    await group.start();
    await commit('one');
    await group.listen();
    const prepared = await group.prepare(policy('two'));
    forked[0]?.die();
    await settle();
    await pass(500);
    // Until it is decided nobody joins: it would miss a half.
    assert.equal(forked.length, 2);
    await prepared.commit();
    await pass(500);
    assert.equal(forked.length, 3);
    assert.deepEqual(offered(group.status()), ['two', 'two']);
    assert.deepEqual(forked[2]?.calls.slice(0, 5), ['start', 'receive', 'receivePart', 'prepare', 'commit']);
    assert.equal(forked[2]?.calls.at(-1), 'listen');
    assert.equal(lost(), 1);
  });

  test('a worker that dies while it prepares ends the activation everywhere, and the next one works', async (context) => {
    const { group, forked, commit, pass } = setUp(context, (nth) => (nth === 2 ? { prepare: never } : {}));
    await group.start();
    await assert.rejects(
      async () => {
        const prepared = group.prepare(policy('one'));
        await settle();
        forked[1]?.die();
        await prepared;
      },
      { message: 'worker 2 was lost meanwhile' },
    );
    assert.equal(forked[0]?.calls.at(-1), 'abandon');
    await pass(500);
    await commit('one');
    assert.deepEqual(offered(group.status()), ['one', 'one']);
  });

  test('a worker that never answers a commit is ended, and holds up nobody for long', async (context) => {
    const { group, forked, pass } = setUp(context, (nth) => (nth === 1 ? { commit: never } : {}));
    await group.start();
    await group.listen();
    const prepared = await group.prepare(policy('one'));
    const committed = prepared.commit();
    await settle();
    assert.deepEqual(offered(group.status()), [undefined, 'one']);
    await pass(5000);
    await committed;
    assert.equal(forked[0]?.killed(), true);
    await pass(500);
    assert.deepEqual(offered(group.status()), ['one', 'one']);
    assert.equal(forked.length, 3);
  });

  for (const told of ['exit first', 'pipe first'] as const) {
    test(`a worker that dies while it joins is replaced once (${told})`, async (context) => {
      const { group, forked, commit, pass } = setUp(context, (nth) => (nth === 3 ? { listen: never } : {}));
      await group.start();
      await commit('one');
      await group.listen();
      forked[0]?.die(told);
      await pass(500);
      assert.equal(forked[2]?.calls.at(-1), 'listen');
      assert.equal(group.status().length, 1);
      forked[2]?.die(told);
      await pass(3000);
      assert.equal(forked.length, 4);
      assert.deepEqual(offered(group.status()), ['one', 'one']);
      assert.equal(forked.filter(({ calls }) => calls.includes('stop')).length, 0);
    });
  }

  test('a worker that dies at its start again and again is tried with growing delays', async (context) => {
    const dying = (): never => {
      throw new Error('it cannot start');
    };
    const { group, forked, commit, pass } = setUp(context, (nth) => (nth > 2 ? { start: dying } : {}));
    await group.start();
    await commit('one');
    await group.listen();
    forked[0]?.die();
    await pass(60_000);
    // 0.1 s, doubled up to 10 s, and no less than half of it.
    assert.ok(forked.length >= 9 && forked.length <= 22, `${forked.length} processes`);
    assert.ok(forked.slice(2).every(({ killed }) => killed()));
    assert.deepEqual(offered(group.status()), ['one']);
    // Policies go on changing meanwhile.
    await commit('two');
    assert.deepEqual(offered(group.status()), ['two']);
  });

  test('a worker that hangs at its start is ended, and activations wait no longer than that', async (context) => {
    const { group, forked, commit, pass } = setUp(context, (nth) => (nth === 3 ? { start: never } : {}));
    await group.start();
    await commit('one');
    forked[0]?.die();
    await pass(500);
    const committed = commit('two');
    await pass(61_000);
    await committed;
    assert.equal(forked[2]?.killed(), true);
    await pass(10_000);
    assert.deepEqual(offered(group.status()), ['two', 'two']);
  });

  test('one that joins while the policy becomes too old hears of it before it serves', async (context) => {
    const { group, forked, commit, pass } = setUp(context);
    await group.start();
    await commit('one');
    await group.listen();
    forked[0]?.die();
    const prepared = await group.prepare(policy('two'));
    group.setStale(true);
    await group.retire();
    await prepared.commit();
    await pass(500);
    assert.deepEqual(forked[2]?.calls.slice(-3), ['setStale', 'retire', 'listen']);
    assert.deepEqual(
      forked[1]?.calls.filter((name) => name === 'setStale'),
      ['setStale'],
    );
  });

  test('silent workers are ended, but not by a primary that was busy itself', async (context) => {
    const { group, forked, commit, pass, block } = setUp(context);
    await group.start();
    await commit('one');
    await pass(2000);
    block(10_000);
    await pass(2000);
    assert.deepEqual(
      forked.map(({ killed }) => killed()),
      [false, false],
    );
    forked[0]?.silence();
    await pass(4500);
    assert.equal(forked[0]?.killed(), false);
    await pass(2000);
    assert.deepEqual(
      forked.map(({ killed }) => killed()),
      [true, false, false],
    );
    assert.deepEqual(offered(group.status()), ['one', 'one']);
  });

  test('a stop during a replacement leaves no process', async (context) => {
    const { group, forked, commit, pass } = setUp(context, (nth) => (nth === 3 ? { prepare: never } : {}));
    await group.start();
    await commit('one');
    await group.listen();
    forked[0]?.die();
    await pass(500);
    assert.equal(forked[2]?.calls.at(-1), 'prepare');
    const stopped = group.stop();
    await pass(500);
    await stopped;
    assert.deepEqual(
      forked.slice(1).map(({ calls }) => calls.at(-1)),
      ['stop', 'stop'],
    );
    await pass(30_000);
    assert.equal(forked.length, 3);
  });

  test('a start of which one worker fails leaves no process after the stop', async (context) => {
    const failing = (): never => {
      throw new Error('no such certificate');
    };
    const { group, forked, pass } = setUp(context, (nth) => (nth === 2 ? { start: failing } : { start: never }));
    await assert.rejects(group.start(), /no such certificate/);
    const stopped = group.stop();
    await pass(500);
    await stopped;
    assert.equal(forked[1]?.killed(), true);
    assert.equal(forked[0]?.calls.at(-1), 'stop');
  });

  test('a worker that does not stop is ended after the drain and a margin', async (context) => {
    const { group, forked, pass } = setUp(context, (nth) => (nth === 1 ? { retire: never, stop: never } : {}));
    await group.start();
    await group.listen();
    const retired = group.retire();
    await pass(5000);
    await retired;
    const stopped = group.stop();
    await pass(20_000);
    await stopped;
    assert.deepEqual(
      forked.map(({ killed }) => killed()),
      [true, false],
    );
  });
});
