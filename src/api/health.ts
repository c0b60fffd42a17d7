import type { FastifyInstance } from 'fastify';
import type { ApiParts } from './ports.ts';

type Query = { readonly [name: string]: string | readonly string[] | undefined };

/**
 * OPA's `GET /health` (https://www.openpolicyagent.org/docs/rest-api#health-api): 200 with an empty object, or 500. It
 * looks at the policy only when asked to, by `?bundles`, and at all parts by `?plugins`, but those of `exclude-plugin`.
 * Beside it liveness and readiness.
 */
export function serveHealth(app: FastifyInstance, { isReady, isDraining, states }: ApiParts): void {
  app.get('/health', (request, reply) => {
    const query = request.query as Query;
    const asks = (name: string): boolean => query[name] !== undefined && query[name] !== 'false';
    const excluded = [query['exclude-plugin'] ?? []].flat();
    const isDiscovered = (states()['discovery']?.state ?? 'OK') === 'OK';
    if ((asks('bundles') || asks('bundle')) && !(isReady() && isDiscovered)) {
      return reply.code(500).send({ error: 'not all bundles have been activated' });
    }
    const isDown = ([part, { state }]: readonly [string, { readonly state: string }]): boolean =>
      state !== 'OK' && !excluded.includes(part);
    if (asks('plugins') && (Object.entries(states()).some(isDown) || (excluded.length === 0 && !isReady()))) {
      return reply.code(500).send({ error: 'one or more plugins are not up' });
    }
    return reply.send({});
  });
  app.get('/health/live', (_request, reply) => reply.send({}));
  app.get('/health/ready', (_request, reply) => {
    if (isDraining()) return reply.code(503).send({ error: 'shutting down' });
    return isReady() ? reply.send({}) : reply.code(503).send({ error: 'no policy or no keys yet' });
  });
}
