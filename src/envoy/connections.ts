import type { Http2SecureServer, Http2Server, ServerHttp2Session } from 'node:http2';
import { Server as NetServer } from 'node:net';
import { sendShutdownNotice } from './shutdown-notice.ts';

export type ConnectionsOptions = {
  /** How old a connection may become, ms, give or take a tenth, so that those of one moment do not end in another; 0: as it likes. */
  readonly maxAgeMs: number;
  /** How long calls may take that are under way when their connection is sent away, ms. */
  readonly graceMs: number;
  /** Path of the method that a connection is there for. */
  readonly method: string;
};

/** The connections of one server. */
export type Connections = {
  readonly watch: (http2: Http2Server | Http2SecureServer) => void;
  /** How many carry checks; a probe's does not, one that was sent away does not any more. */
  readonly count: () => number;
  /** Has the client of one that carries checks open another one, if there is one that carries any. */
  readonly sendOneAway: () => void;
  /** Takes no more, has the clients of all open others elsewhere, and resolves when they have had the time to notice. */
  readonly sendAllAway: (withinMs: number) => Promise<void>;
};

/** How long clients have to notice before calls that they have just sent are cut off. */
const NOTICE_MS = 500;

type Carried = 'nothing' | 'other calls' | 'checks';

const JITTER = 0.1;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export function createConnections({ maxAgeMs, graceMs, method }: ConnectionsOptions): Connections {
  /** Those that were not sent away, and what they carry so far. */
  const staying = new Map<ServerHttp2Session, Carried>();
  const leaving = new Set<ServerHttp2Session>();
  const servers = new Set<Http2Server | Http2SecureServer>();

  function opened(session: ServerHttp2Session): void {
    staying.set(session, 'nothing');
    session.on('stream', (_stream, headers) => {
      if (staying.get(session) === 'checks' || !staying.has(session)) return;
      staying.set(session, headers[':path'] === method ? 'checks' : 'other calls');
    });
    const lifeMs = Math.min(maxAgeMs * (1 - JITTER + 2 * JITTER * Math.random()), LONGEST_TIMER_MS);
    const age = maxAgeMs === 0 ? undefined : setTimeout(() => sendAway(session), lifeMs).unref();
    session.once('close', () => {
      clearTimeout(age);
      staying.delete(session);
      leaving.delete(session);
    });
  }

  function sendAway(session: ServerHttp2Session): void {
    const carried = staying.get(session);
    if (!staying.delete(session)) return;
    leaving.add(session);
    sendShutdownNotice(session, carried !== 'nothing');
    setTimeout(() => {
      if (!session.destroyed) session.close();
    }, NOTICE_MS).unref();
    setTimeout(() => session.destroy(), NOTICE_MS + graceMs).unref();
  }

  return {
    watch: (http2) => {
      servers.add(http2);
      http2.on('session', opened);
    },
    count: () => [...staying.values()].filter((carried) => carried === 'checks').length,
    sendOneAway: () => {
      for (const [session, carried] of staying) {
        if (carried !== 'checks') continue;
        sendAway(session);
        return;
      }
    },
    sendAllAway: async (withinMs) => {
      // First, or one that comes instead of another would be cut off without a word. HTTP/2's own `close` ends sessions too.
      for (const server of servers) NetServer.prototype.close.call(server);
      for (const [session, carried] of staying) sendShutdownNotice(session, carried !== 'nothing');
      if (staying.size + leaving.size === 0) return;
      await new Promise((resolve) => setTimeout(resolve, Math.min(NOTICE_MS, withinMs)));
    },
  };
}
