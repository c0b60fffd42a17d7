import type { FastifyInstance, FastifyReply } from 'fastify';
import type { AdminGuard } from './admin.ts';
import type { ApiParts, Polled } from './ports.ts';

const statuses: { readonly [failure in NonNullable<Polled['failure']>]: number } = {
  unavailable: 503,
  pending: 503,
  refused: 409,
};

/**
 * `POST /v1/bundles/poll` and `POST /v1/bundles/NAME/poll`: looks for bundles now, and answers with their status after
 * that. 503 when one could not be had, 409 when one was refused; what was active before stays active then.
 */
export function serveBundles(app: FastifyInstance, { poll }: ApiParts, guard: AdminGuard): void {
  const answer = (reply: FastifyReply, { failure, ...rest }: Polled, result: object | undefined): FastifyReply =>
    failure === undefined
      ? reply.send({ result })
      : reply.code(statuses[failure]).send({ code: `bundle_${failure}`, message: rest.message, result });

  app.post('/v1/bundles/poll', { onRequest: guard }, async (_request, reply) => {
    const polled = await poll();
    return answer(reply, polled, { bundles: polled.bundles });
  });
  app.post('/v1/bundles/:name/poll', { onRequest: guard }, async (request, reply) => {
    const { name } = request.params as { readonly name: string };
    const polled = await poll(name);
    const result = Object.hasOwn(polled.bundles, name) ? polled.bundles[name] : undefined;
    if (result === undefined) {
      return reply.code(404).send({ code: 'resource_not_found', message: 'no such bundle is polled' });
    }
    return answer(reply, polled, result);
  });
}
