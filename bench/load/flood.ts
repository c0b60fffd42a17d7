/*
 * A process that asks for checks, as told by the one that forked it (FloodTask), and tells it what became of them
 * (FloodReport). Times count from when a request was due, so that what this process is late by counts too.
 */
import { statusCodeOf } from './client.ts';
import { connectLean, type FramedCheck, frameCheck, type LeanClient } from './lean-client.ts';

export type FloodTask = {
  readonly address: string;
  /** CheckRequest bytes in base64, sent in turn. */
  readonly requests: readonly string[];
  readonly connections: number;
  /** Closed loop: so many calls at once on each connection. Open loop: requests per second, whatever the answers do. */
  readonly load: { readonly streams: number } | { readonly perSecond: number };
  readonly ms: number;
  /** Calls are given up after this; Envoy's default for ext_authz is 200. */
  readonly timeoutMs: number;
  /** Calls at once, beyond which none are sent. */
  readonly mostOpen: number;
};

export type FloodReport = {
  readonly asked: number;
  readonly allowed: number;
  readonly refused: number;
  readonly timedOut: number;
  /** Their connection was closed. */
  readonly lost: number;
  /** Not sent: as many are open as may be. */
  readonly heldBack: number;
  /** Neither allowed nor refused as an overload has to be. */
  readonly wrong: number;
  /** Times, ms. */
  readonly allowedMs: readonly number[];
  readonly refusedMs: readonly number[];
  /** How late calls were sent, ms: so much of all times is this process's own. */
  readonly lateMs: readonly number[];
  /** When the last call was due that was not allowed, since the start; 0: all were. */
  readonly lastDeniedMs: number;
};

const TICK_MS = 1;

/** An allow has an empty status; an overload is UNAVAILABLE with 503 and Retry-After. */
const UNAVAILABLE = 14;
const isAllow = (response: Buffer): boolean => statusCodeOf(response) === 0;
const isOverload = (response: Buffer): boolean => {
  const text = response.toString('latin1');
  return statusCodeOf(response) === UNAVAILABLE && text.includes('\x08\xf7\x03') && text.includes('retry-after');
};

async function generate({
  address,
  requests,
  connections,
  load,
  ms,
  timeoutMs,
  mostOpen,
}: FloodTask): Promise<FloodReport> {
  const checks: FramedCheck[] = requests.map((text) => frameCheck(Buffer.from(text, 'base64')));
  const counts = { asked: 0, allowed: 0, refused: 0, timedOut: 0, lost: 0, heldBack: 0, wrong: 0 };
  const allowedMs: number[] = [];
  const refusedMs: number[] = [];
  const lateMs: number[] = [];
  const dueMs: number[] = [];
  let isOver = false;
  let lastDeniedMs = 0;
  let startMs = 0;
  const clients: LeanClient[] = [];

  function ask(client: LeanClient, due: number): void {
    const tag = dueMs.push(due) - 1;
    counts.asked++;
    lateMs.push(performance.now() - due);
    const isTooMuch = clients.reduce((sum, each) => sum + each.open(), 0) >= mostOpen;
    if (isTooMuch || !client.send(checks[tag % checks.length] as FramedCheck, tag)) counts.heldBack++;
  }

  const answered = (client: () => LeanClient) => (tag: number, response: Buffer) => {
    const nowMs = performance.now();
    if (isOver && response.length === 0) return;
    const tookMs = nowMs - (dueMs[tag] ?? 0);
    if (isAllow(response) && tookMs > timeoutMs) counts.timedOut++;
    else if (isAllow(response)) {
      counts.allowed++;
      allowedMs.push(tookMs);
    } else {
      lastDeniedMs = Math.max(lastDeniedMs, (dueMs[tag] ?? 0) - startMs);
      if (isOverload(response)) {
        counts.refused++;
        refusedMs.push(tookMs);
      } else if (response.length === 0) counts.lost++;
      else counts.wrong++;
    }
    if ('streams' in load && !isOver) ask(client(), nowMs);
  };

  const opening = new Set<number>();
  /** Connections that the server has closed are opened anew, as Envoy does. */
  function reopen(): void {
    clients.forEach((client, i) => {
      if (!client.isClosed() || opening.has(i)) return;
      opening.add(i);
      connectLean(
        address,
        timeoutMs,
        answered(() => clients[i] as LeanClient),
      )
        .then((fresh) => {
          clients[i] = fresh;
        })
        .catch(() => {})
        .finally(() => opening.delete(i));
    });
  }

  for (let i = 0; i < connections; i++) {
    clients.push(
      await connectLean(
        address,
        timeoutMs,
        answered(() => clients[i] as LeanClient),
      ),
    );
  }
  startMs = performance.now();
  if ('streams' in load) for (const client of clients) for (let i = 0; i < load.streams; i++) ask(client, startMs);
  let sent = 0;
  let oldest = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const nowMs = performance.now();
      while (oldest < dueMs.length && (dueMs[oldest] as number) < nowMs - timeoutMs) oldest++;
      const given = clients.reduce((sum, client) => sum + client.giveUp(oldest), 0);
      counts.timedOut += given;
      if (given > 0) lastDeniedMs = nowMs - timeoutMs - startMs;
      reopen();
      if (nowMs - startMs >= ms) {
        clearInterval(timer);
        resolve();
        return;
      }
      if (!('perSecond' in load)) return;
      for (; startMs + (sent / load.perSecond) * 1000 <= nowMs; sent++) {
        ask(clients[sent % clients.length] as LeanClient, startMs + (sent / load.perSecond) * 1000);
      }
    }, TICK_MS);
  });
  if ('streams' in load) isOver = true;
  const endMs = performance.now() + timeoutMs;
  while (clients.some((client) => client.open() > 0) && performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  isOver = true;
  for (const client of clients) {
    counts.timedOut += client.open();
    client.close();
  }
  return { ...counts, allowedMs, refusedMs, lateMs, lastDeniedMs };
}

process.once('message', (task: FloodTask) => {
  void generate(task).then((report) => process.send?.(report, () => process.disconnect?.()));
});
