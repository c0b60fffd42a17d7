import type { FastifyInstance, FastifyReply } from 'fastify';
import { messageOf } from '../lib/message.ts';
import { withoutSlashes } from '../lib/without-slashes.ts';
import type { Json } from '../model/json.ts';
import { depthOf, emptyObject, isObject, parseExact, stringify } from '../values/json.ts';
import type { ApiParts } from './ports.ts';

const MAX_INPUT_DEPTH = 1000;

/**
 * OPA's data API (https://www.openpolicyagent.org/docs/rest-api#data-api) over the policy that serves: what its
 * entrypoints reach. An undefined document has no `result`.
 */
export function serveData(app: FastifyInstance, parts: ApiParts): void {
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => done(null, body));

  async function answer(reply: FastifyReply, path: string, inputText: string): Promise<FastifyReply> {
    const snapshot = parts.pin();
    const decision_id = parts.newDecisionId();
    if (snapshot === undefined) return fail(reply, 503, 'unavailable', 'no policy yet', decision_id);
    const evaluation = await snapshot.evaluate(path, inputText, Number.POSITIVE_INFINITY);
    if (!evaluation.ok && evaluation.reason !== 'decision_undefined') {
      return fail(reply, 500, 'internal_error', 'the policy could not be evaluated', decision_id);
    }
    const [result] = evaluation.ok ? evaluation.results : [];
    const body = emptyObject();
    body['decision_id'] = decision_id;
    if (result !== undefined) body['result'] = result;
    return reply.type('application/json').send(stringify(body));
  }

  app.post('/v1/data/*', (request, reply) => {
    const input = readInput(request.body);
    if (!input.ok) return fail(reply, 400, 'invalid_parameter', input.problem);
    return answer(reply, pathOf(request.params), input.text);
  });
  app.get('/v1/data/*', (request, reply) => {
    const { input } = request.query as { readonly input?: string };
    const wrapped = input === undefined ? undefined : `{"input":${input}}`;
    const read = readInput(wrapped);
    if (!read.ok) return fail(reply, 400, 'invalid_parameter', read.problem);
    return answer(reply, pathOf(request.params), read.text);
  });
  app.post('/', (request, reply) => {
    const document = parseDocument(request.body);
    if (!document.ok) return fail(reply, 400, 'invalid_parameter', document.problem);
    return answer(reply, parts.defaultDecision, stringify(document.value ?? {}));
  });
}

const pathOf = (params: unknown): string => withoutSlashes((params as { readonly '*': string })['*']);

type Document =
  | { readonly ok: true; readonly value: Json | undefined }
  | { readonly ok: false; readonly problem: string };

function parseDocument(body: unknown): Document {
  if (typeof body !== 'string' || body.trim() === '') return { ok: true, value: undefined };
  if (depthOf(body) > MAX_INPUT_DEPTH) return { ok: false, problem: 'nested too deep' };
  try {
    return { ok: true, value: parseExact(body) };
  } catch (error) {
    return { ok: false, problem: `body is not JSON: ${messageOf(error)}` };
  }
}

function readInput(body: unknown): { readonly ok: true; readonly text: string } | { ok: false; problem: string } {
  const document = parseDocument(body);
  if (!document.ok) return document;
  if (document.value === undefined) return { ok: true, text: '{}' };
  if (!isObject(document.value)) return { ok: false, problem: 'body is not an object with `input`' };
  return { ok: true, text: stringify(document.value['input'] ?? {}) };
}

const fail = (reply: FastifyReply, status: number, code: string, message: string, decision_id?: string): FastifyReply =>
  reply.code(status).send({ code, message, ...(decision_id === undefined ? {} : { decision_id }) });
