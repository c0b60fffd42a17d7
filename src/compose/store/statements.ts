import type { SpawnStore, WorkerProcess } from '../../cli/ports.ts';
import type { StoreConfig } from '../../config/schema.ts';
import type { Ran, Statement, Table } from '../../decisions/sql/run.ts';
import type { Answer, Loan, SqlFunctions } from '../../decisions/store/protocol.ts';
import { type Channel, createChannel } from '../../lib/channel.ts';
import { createOneByOne } from '../../lib/one-by-one.ts';

/** Runs statements in SQL, one after another, in a process that is there while it is used. */
export type Statements = {
  readonly run: (sql: string) => Promise<Answer<Table>>;
  readonly stop: () => Promise<void>;
};

export type StatementParts = {
  readonly config: StoreConfig;
  readonly spawn: SpawnStore;
  readonly lend: () => Promise<Answer<Loan>>;
  readonly giveBack: (loan: Loan, unreadable: boolean) => void;
  /** The process had to be ended. */
  readonly onEnded: (problem: string) => void;
};

const MAX_WAITING = 8;
/** Beyond the statement's own time, which it may not heed. */
const GRACE_MS = 1000;
const START_MS = 30_000;
const IDLE_MS = 60_000;
/** What the process has beside the memory of the database, bytes. */
const OWN_BYTES = 201_326_592;

type Running = { readonly child: WorkerProcess; readonly channel: Channel<SqlFunctions> };

export function createStatements(parts: StatementParts): Statements {
  const { config } = parts;
  const memoryBytes = Math.floor(config.memory_bytes / 2);
  let running: Running | undefined;
  let waiting = 0;
  const inTurn = createOneByOne();
  let idle: NodeJS.Timeout | undefined;

  function processToUse(): Running {
    if (running !== undefined) return running;
    const child = parts.spawn('sql', memoryBytes + OWN_BYTES);
    const started: Running = { child, channel: createChannel<SqlFunctions>(child.pipe, {}) };
    running = started;
    void child.exited.then(() => {
      if (running === started) running = undefined;
    });
    return started;
  }

  async function runIn({ child, channel }: Running, statement: Omit<Statement, 'timeoutMs'>): Promise<Ran> {
    let late = false;
    const endAfter = (ms: number): NodeJS.Timeout =>
      setTimeout(() => {
        late = true;
        child.kill('SIGKILL');
      }, ms);
    let timer = endAfter(START_MS);
    try {
      await channel.call('ready', undefined);
      clearTimeout(timer);
      const { timeout_ms: timeoutMs } = config.query;
      timer = endAfter(timeoutMs + GRACE_MS);
      return await channel.call('run', { ...statement, timeoutMs });
    } catch {
      const problem = late ? 'it takes too long' : 'it takes too much memory';
      parts.onEnded(problem);
      await child.exited;
      return { ok: false, kind: 'cut', problem };
    } finally {
      clearTimeout(timer);
    }
  }

  async function run(sql: string): Promise<Answer<Table>> {
    const lent = await parts.lend();
    if (!lent.ok) return lent;
    const { files } = lent.value;
    const statement = { sql, files, memoryBytes, maxRows: config.query.max_rows };
    const ran = await runIn(processToUse(), statement).finally(() => clearTimeout(idle));
    idle = setTimeout(() => running?.child.kill('SIGKILL'), IDLE_MS).unref();
    parts.giveBack(lent.value, !ran.ok && ran.kind === 'failed');
    if (ran.ok) return { ok: true, value: ran.table };
    return { ok: false, kind: ran.kind === 'refused' ? 'refused' : 'unavailable', problem: ran.problem };
  }

  return {
    run: async (sql) => {
      if (waiting >= MAX_WAITING) return { ok: false, kind: 'unavailable', problem: 'too many statements at once' };
      waiting++;
      return inTurn(() => run(sql)).finally(() => waiting--);
    },
    stop: async () => {
      clearTimeout(idle);
      const { child } = running ?? {};
      child?.kill('SIGKILL');
      await child?.exited;
    },
  };
}
