import type { FastifyInstance } from 'fastify';
import type { ApiParts } from './ports.ts';

/**
 * OPA's `GET /health` (https://www.openpolicyagent.org/docs/rest-api#health-api): 200 with an empty object, or 500. It
 * looks at the policy only when asked to, by `?bundles` or `?plugins`. Beside it liveness and readiness.
 */
export function serveHealth(app: FastifyInstance, { isReady, isDraining }: ApiParts): void {
  app.get('/health', (request, reply) => {
    const query = request.query as { readonly [name: string]: string | undefined };
    const asks = (name: string): boolean => query[name] !== undefined && query[name] !== 'false';
    if ((asks('bundles') || asks('bundle') || asks('plugins')) && !isReady()) {
      return reply.code(500).send({ error: 'not all bundles have been activated' });
    }
    return reply.send({});
  });
  app.get('/health/live', (_request, reply) => reply.send({}));
  app.get('/health/ready', (_request, reply) => {
    if (isDraining()) return reply.code(503).send({ error: 'shutting down' });
    return isReady() ? reply.send({}) : reply.code(503).send({ error: 'no policy or no keys yet' });
  });
}
