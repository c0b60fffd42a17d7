import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Cursors } from '../decisions/query/cursor.ts';
import {
  BadQuestion,
  filtersOf,
  histogramOf,
  isDecisionId,
  limitOf,
  questionText,
  readParameters,
  topOf,
} from '../decisions/query/parameters.ts';
import type { DecisionQueries } from '../decisions/query/queries.ts';
import type { Answer } from '../decisions/store/protocol.ts';
import { isObject, parseExact } from '../values/json.ts';
import type { AdminGuard } from './admin.ts';
import { serveTail } from './tail.ts';

export type DecisionParts = {
  readonly queries: DecisionQueries;
  readonly cursors: Cursors;
  readonly wallMs: () => number;
};

const MAX_PAGE = 1000;

/**
 * `/v1/decisions`: what was decided. Every answer is JSON; what was asked wrongly is 400, what cannot be answered now or
 * in time 503.
 */
export function serveDecisions(app: FastifyInstance, guard: AdminGuard, parts: DecisionParts): void {
  const { queries, wallMs } = parts;
  const get = (
    path: string,
    handler: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>,
  ): void => {
    app.get(path, { onRequest: guard }, (request, reply) => answered(reply, () => handler(request, reply)));
  };

  get('/v1/decisions', async ({ query }, reply) => {
    const texts = readParameters('list', query);
    const { cursor } = texts;
    const question = questionText(texts);
    const after = cursor === undefined ? undefined : parts.cursors.read(cursor, question);
    if (cursor !== undefined && after === undefined) throw new BadQuestion('cursor: it is not of this question');
    const answer = await queries.list({
      filters: filtersOf(texts, wallMs()),
      limit: limitOf(texts, 100, MAX_PAGE),
      ...(after === undefined ? {} : { after }),
    });
    if (!answer.ok) return fail(reply, answer);
    const { events, last } = answer.value;
    const next = last === undefined ? null : parts.cursors.write(last, question);
    return sendText(reply, `{"decisions":[${events.join(',')}],"next":${JSON.stringify(next)}}`);
  });
  get('/v1/decisions/histogram', async ({ query }, reply) =>
    send(reply, await queries.histogram(histogramOf(readParameters('histogram', query), wallMs()))),
  );
  get('/v1/decisions/top', async ({ query }, reply) =>
    send(reply, await queries.top(topOf(readParameters('top', query), wallMs()))),
  );
  get('/v1/decisions/gaps', async ({ query }, reply) =>
    send(reply, await queries.gaps(filtersOf(readParameters('gaps', query), wallMs()))),
  );
  get('/v1/decisions/:id', async ({ params }, reply) => {
    const { id } = params as { readonly id: string };
    if (!isDecisionId(id)) throw new BadQuestion('this is not the id of a decision');
    const answer = await queries.show(id);
    if (!answer.ok) return fail(reply, answer);
    if (answer.value !== undefined) return sendText(reply, answer.value);
    return reply.code(404).send({ code: 'resource_not_found', message: 'there is no such decision' });
  });
  app.post('/v1/decisions/query', { onRequest: guard }, (request, reply) =>
    answered(reply, async () => send(reply, await queries.sql(statementOf(request.body)))),
  );
  serveTail(app, guard, parts, answered);
}

/** A question that is none is the caller's fault. */
async function answered(reply: FastifyReply, task: () => Promise<FastifyReply>): Promise<FastifyReply> {
  try {
    return await task();
  } catch (error) {
    if (!(error instanceof BadQuestion)) throw error;
    return reply.code(400).send({ code: 'invalid_parameter', message: error.message });
  }
}

export type Answered = typeof answered;

function statementOf(body: unknown): string {
  let document: unknown;
  try {
    document = typeof body === 'string' ? parseExact(body) : body;
  } catch {
    throw new BadQuestion('the body is not JSON');
  }
  const { sql, ...others } = isObject(document as never) ? (document as { readonly sql?: unknown }) : {};
  if (typeof sql !== 'string' || Object.keys(others).length > 0) {
    throw new BadQuestion('the body is not an object with `sql`, a text, alone');
  }
  return sql;
}

const send = <T extends object>(reply: FastifyReply, answer: Answer<T>): FastifyReply =>
  answer.ok ? reply.send(answer.value) : fail(reply, answer);

/** What is JSON already, with every digit. */
const sendText = (reply: FastifyReply, text: string): FastifyReply =>
  reply.type('application/json; charset=utf-8').send(text);

const fail = (reply: FastifyReply, { kind, problem }: Answer<never> & { readonly ok: false }): FastifyReply =>
  kind === 'refused'
    ? reply.code(400).send({ code: 'invalid_parameter', message: problem })
    : reply.code(503).header('retry-after', '1').send({ code: 'unavailable', message: problem });
