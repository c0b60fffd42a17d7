import { once } from 'node:events';
import type { FastifyInstance } from 'fastify';
import { filtersOf, readParameters } from '../decisions/query/parameters.ts';
import type { AdminGuard } from './admin.ts';
import type { Answered, DecisionParts } from './decisions.ts';

const MAX_CLIENTS = 16;
const HEARTBEAT_MS = 15_000;

/**
 * `GET /v1/decisions/tail`: decisions as they come in, as server-sent events (WHATWG HTML section 9.2). Each is a message
 * with its event; one named `left` has the count of those that a slow reader did not get.
 */
export function serveTail(app: FastifyInstance, guard: AdminGuard, parts: DecisionParts, answered: Answered): void {
  let clients = 0;

  app.get('/v1/decisions/tail', { onRequest: guard }, (request, reply) =>
    answered(reply, async () => {
      const filters = filtersOf(readParameters('tail', request.query), parts.wallMs());
      if (clients >= MAX_CLIENTS) {
        return reply
          .code(503)
          .header('retry-after', '5')
          .send({ code: 'unavailable', message: 'too many watch already' });
      }
      clients++;
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      raw.write(': from now on\n\n');
      const gone = new AbortController();
      const { end } = parts.queries.follow(filters, async (events, left) => {
        if (gone.signal.aborted) return;
        const missed = left === 0 ? '' : `event: left\ndata: {"count":${left}}\n\n`;
        // An event is one line.
        const flows = raw.write(missed + events.map((event) => `data: ${event}\n\n`).join(''));
        if (!flows) await once(raw, 'drain', { signal: gone.signal }).catch(() => {});
      });
      const heartbeat = setInterval(() => raw.write(': still there\n\n'), HEARTBEAT_MS);
      raw.once('close', () => {
        clients--;
        gone.abort();
        clearInterval(heartbeat);
        end();
      });
      raw.on('error', () => {});
      return reply;
    }),
  );
}
