import type { IncomingHttpHeaders, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import type { Scope } from './scope.ts';

export type Received = {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** As it came, compressed. */
  readonly size: number;
  readonly events: readonly LoggedEvent[];
  readonly status: number;
};

export type LoggedEvent = { readonly decision_id: string; readonly [key: string]: unknown };

/** What becomes of a request: an answer, a connection that is cut, before or after the body counts, or no answer. */
export type Fault = number | 'reset' | 'taken-and-reset' | 'silence';

export type Receiver = {
  readonly url: string;
  /** Requests that were answered or cut, in their order. */
  readonly received: readonly Received[];
  /** Decisions of all requests that were taken. */
  readonly taken: () => readonly LoggedEvent[];
  readonly ids: () => readonly string[];
  /** Asked for every request; undefined: it is taken. */
  answer: (received: Omit<Received, 'status'>) => Fault | undefined;
  /** Goes away, and comes back at the same address. */
  readonly leave: () => Promise<void>;
  readonly comeBack: () => Promise<void>;
};

/** A service that decision logs are sent to. */
export async function startReceiver(scope: Scope): Promise<Receiver> {
  const received: Received[] = [];
  let server: Server | undefined;
  let port = 0;

  const open = async (): Promise<void> => {
    const opened = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('error', () => {}).on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const body = Buffer.concat(parts);
        const { method, url: path, headers } = request;
        const events = JSON.parse(gunzipSync(body).toString()) as readonly LoggedEvent[];
        const whole = { method, path, headers, size: body.length, events };
        const fault = receiver.answer(whole) ?? 200;
        if (fault === 'silence') return;
        if (typeof fault === 'number') {
          received.push({ ...whole, status: fault });
          response.writeHead(fault).end();
          return;
        }
        if (fault === 'taken-and-reset') received.push({ ...whole, status: 200 });
        request.socket.resetAndDestroy();
      });
    });
    await new Promise<void>((resolve) => opened.listen(port, '127.0.0.1', resolve));
    ({ port } = opened.address() as AddressInfo);
    server = opened;
  };
  const leave = async (): Promise<void> => {
    server?.closeAllConnections();
    await new Promise((resolve) => server?.close(resolve));
    server = undefined;
  };
  await open();
  scope.after(() => (server === undefined ? undefined : leave()));
  const taken = (): readonly LoggedEvent[] =>
    received.filter(({ status }) => status >= 200 && status < 300).flatMap(({ events }) => events);
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}`,
    received,
    taken,
    ids: () => taken().map(({ decision_id }) => decision_id),
    answer: () => undefined,
    leave,
    comeBack: open,
  };
  return receiver;
}
