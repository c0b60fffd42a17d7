import type { ClientHttp2Session } from 'node:http2';
import { type Connection, callCheck, callHttp, framed, openConnection, statusCodeOf } from './client.ts';
import type { FromGenerator, Job, Outcome, ToGenerator } from './jobs.ts';
import { quantile, startOpenLoop } from './open-loop.ts';
import { type BenchRequest, idPrefix } from './requests.ts';

/*
 * A process that generates load as it is told, and judges each answer.
 */

const PERMISSION_DENIED = 7;

/** Undefined when the answer was right; else what was wrong with it. */
type Verdict = string | undefined;
type Call = (session: ClientHttp2Session, n: number) => Promise<Verdict>;
type Calls = { readonly [kind in Job['kind']]: Call };

const given = new Map<string, Calls>();
/** Begins elsewhere in each process. */
let sent = (process.pid % 1000) * 1e9;

/** The request with an id that none had before it, so that no two of a run are the same. */
function stamped(frame: Buffer, idAt: number): Buffer {
  const copy = Buffer.from(frame);
  copy.write(String(++sent).padStart(12, '0'), idAt, 'latin1');
  return copy;
}

const verdict = (got: number | undefined, due: number): Verdict =>
  got === due ? undefined : `${got ?? 'nothing'} instead of ${due}`;

function callsFor(requests: readonly BenchRequest[]): Calls {
  const frames = requests.map(({ check, isAllowed }) => {
    const frame = framed(check);
    return { frame, idAt: frame.indexOf(idPrefix) + idPrefix.length, code: isAllowed ? 0 : PERMISSION_DENIED };
  });
  const questions = requests.map(({ path, token, isAllowed }) => ({
    headers: { ':path': path, ':authority': 'api.bench', authorization: `Bearer ${token}`, accept: 'application/json' },
    status: isAllowed ? 200 : 403,
  }));
  return {
    check: async (session, n) => {
      const { frame, idAt, code } = frames[n % frames.length] as (typeof frames)[number];
      return verdict(statusCodeOf(await callCheck(session, stamped(frame, idAt))), code);
    },
    http: async (session, n) => {
      const { headers, status } = questions[n % questions.length] as (typeof questions)[number];
      const id = `${idPrefix}${String(++sent).padStart(12, '0')}`;
      return verdict(await callHttp(session, { ...headers, 'x-request-id': id }), status);
    },
  };
}

type Measured = { readonly latencies: readonly number[]; readonly ownDelayMs: number };
/** Resolves when there is an answer. */
type Ask = (n: number) => Promise<void>;

async function atRate(ask: Ask, perSecond: number, milliseconds: number): Promise<Measured> {
  const loop = startOpenLoop(ask, perSecond);
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  const ownDelayMs = loop.ownDelayMs();
  await loop.stop();
  return { latencies: loop.samples.map(({ latencyMs }) => latencyMs), ownDelayMs };
}

async function asManyAsCanBe(ask: Ask, atOnce: number, milliseconds: number): Promise<Measured> {
  const latencies: number[] = [];
  const untilMs = performance.now() + milliseconds;
  let begun = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const sentMs = performance.now();
      await ask(begun++);
      latencies.push(performance.now() - sentMs);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return { latencies, ownDelayMs: 0 };
}

async function run({ kind, address, connections, requests, milliseconds, load }: Job): Promise<Outcome> {
  const call = given.get(requests)?.[kind];
  if (call === undefined) throw new Error(`no requests named ${requests}`);
  const open = await Promise.all(Array.from({ length: connections }, () => openConnection(address)));
  const wrong: { [what: string]: number } = {};
  const ask: Ask = async (n) => {
    const what = await call((open[n % connections] as Connection).session(), n);
    if (what !== undefined) wrong[what] = (wrong[what] ?? 0) + 1;
  };
  try {
    const startedMs = performance.now();
    const { latencies, ownDelayMs } =
      'perSecond' in load
        ? await atRate(ask, load.perSecond, milliseconds)
        : await asManyAsCanBe(ask, load.atOnce, milliseconds);
    const [p50 = 0, p99 = 0, p999 = 0] = [0.5, 0.99, 0.999].map((share) => quantile(latencies, share));
    const tookMs = performance.now() - startedMs;
    return { answered: latencies.length, wrong, milliseconds: tookMs, ownDelayMs, p50, p99, p999 };
  } finally {
    for (const { close } of open) close();
  }
}

process.on('message', (message: ToGenerator) => {
  if ('give' in message) {
    given.set(message.give, callsFor(message.requests));
    return;
  }
  const { id, job } = message;
  const answer = (told: FromGenerator): void => void process.send?.(told);
  run(job).then(
    (outcome) => answer({ id, outcome }),
    (error: unknown) => answer({ id, failure: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
