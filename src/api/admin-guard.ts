import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Answers, and returns its answer, when the caller may not; undefined: the caller may. */
export type AdminGuard = (request: FastifyRequest, reply: FastifyReply) => FastifyReply | undefined;

const LOOPBACK = /^(?:(?:http:\/\/)?(?:localhost|127\.[0-9.]+|\[::1\]):[0-9]+|unix:\/\/.+)$/;

/**
 * Who may ask about decisions: whoever has the token; without one, whoever reaches a listener on loopback. Elsewhere
 * nobody may without a token.
 */
export function createAdminGuard(address: string, token: () => string | undefined): AdminGuard {
  const isLoopback = LOOPBACK.test(address);
  return (request, reply) => {
    const wanted = token();
    if (wanted === undefined) {
      if (isLoopback) return undefined;
      return fail(reply, 403, 'this needs an admin token, and none is configured');
    }
    const given = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
    if (given !== undefined && same(given, wanted)) return undefined;
    return fail(reply.header('www-authenticate', 'Bearer'), 401, 'this needs the admin token');
  };
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const same = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));

const fail = (reply: FastifyReply, status: 401 | 403, message: string): FastifyReply =>
  reply.code(status).send({ code: status === 401 ? 'unauthorized' : 'forbidden', message });
