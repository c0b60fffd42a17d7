import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { messageOf } from '../lib/message.ts';
import { readLimited } from '../lib/read-limited.ts';
import { isLoopback, isUnix } from './address.ts';

export type AdminOptions = {
  /** Where the API listens. */
  readonly address: string;
  /** File with the bearer token; undefined: there is none. */
  readonly tokenFile: string | undefined;
  readonly log: { readonly error: (fields: object, message: string) => void };
};

/** Runs before an administrative call (as `onRequest`) and answers those that may not be made. */
export type AdminGuard = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>;

const MAX_TOKEN_BYTES = 4096;
const MIN_TOKEN = 16;

/**
 * Who may make administrative calls. With a token file: who has the token (RFC 6750), which is read for every call. Without
 * one: who is on this machine, and no web page that a browser there shows. Rejects when the file has no token.
 */
export async function createAdminGuard({ address, tokenFile, log }: AdminOptions): Promise<AdminGuard> {
  if (tokenFile !== undefined) {
    await readToken(tokenFile);
    return (request, reply) => requireToken(request, reply, tokenFile, log);
  }
  if (isUnix(address)) return async () => undefined;
  if (!isLoopback(address)) {
    const message = `the API listens at ${address}, which is not loopback: administrative calls need postern.api.token_file`;
    return async (_request, reply) => refuse(reply, 403, message);
  }
  return async (request, reply) => {
    const problem = foreignness(request);
    return problem === undefined ? undefined : refuse(reply, 403, problem);
  };
}

async function requireToken(
  { headers }: FastifyRequest,
  reply: FastifyReply,
  file: string,
  log: AdminOptions['log'],
): Promise<FastifyReply | undefined> {
  let token: string;
  try {
    token = await readToken(file);
  } catch (error) {
    log.error({ cause: messageOf(error) }, 'administrative calls are refused: their token cannot be read');
    return refuse(reply, 503, 'the token of postern.api.token_file cannot be read');
  }
  const [, given] = /^Bearer ([^ ]+) *$/i.exec(headers.authorization ?? '') ?? [];
  // Digests have one length, whatever was given.
  if (given !== undefined && timingSafeEqual(digestOf(given), digestOf(token))) return undefined;
  return refuse(reply.header('www-authenticate', 'Bearer'), 401, 'this call needs the token of postern.api.token_file');
}

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

async function readToken(file: string): Promise<string> {
  const token = (await readLimited(file, MAX_TOKEN_BYTES)).toString('utf8').trim();
  if (token.length < MIN_TOKEN || !/^[\x21-\x7e]+$/.test(token)) {
    throw new Error(`${file}: a token of ${MIN_TOKEN} characters or more is expected, without spaces`);
  }
  return token;
}

/**
 * Why a call may come from a web page: a name that leads here by DNS rebinding, an origin other than ours, or what pages
 * may send anywhere without asking (https://fetch.spec.whatwg.org/#cors-safelisted-request-header).
 */
function foreignness({ method, headers }: FastifyRequest): string | undefined {
  const { host = '', origin } = headers;
  const site = headers['sec-fetch-site'];
  if (!isLoopback(host)) return 'without postern.api.token_file this call needs a loopback name in Host';
  const isOurs = origin === undefined || origin === `http://${host}` || origin === `https://${host}`;
  if (!isOurs || (site !== undefined && site !== 'same-origin' && site !== 'none')) {
    return 'without postern.api.token_file this call may not come from a web page';
  }
  if (method === 'GET' || method === 'HEAD') return undefined;
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() === 'application/json') return undefined;
  return 'without postern.api.token_file this call needs content-type: application/json';
}

const refuse = (reply: FastifyReply, status: number, message: string): FastifyReply =>
  reply.code(status).send({ code: 'unauthorized', message });
