import { readFileSync } from 'node:fs';
import { Agent, fetch, type Response } from 'undici';
import type { HistogramAnswer } from '../../decisions/query/histogram.ts';
import type { Position } from '../../decisions/query/list.ts';
import { filtersOf, histogramOf, readParameters, topOf } from '../../decisions/query/parameters.ts';
import type { DecisionQueries } from '../../decisions/query/queries.ts';
import type { TopAnswer } from '../../decisions/query/top.ts';
import type { Table } from '../../decisions/sql/run.ts';
import type { Answer } from '../../decisions/store/protocol.ts';
import { messageOf } from '../../lib/message.ts';
import type { Json } from '../../model/json.ts';
import { isObject, parseExact, stringify } from '../../values/json.ts';

/** Parameters of a question, as the API has them. */
export type Texts = { readonly [name: string]: string };

/** Where the commands get their answers from. Everything rejects with a message for people. */
export type DecisionSource = {
  /** Events as JSON, newest first, until `limit`. */
  readonly list: (texts: Texts, limit: number) => AsyncIterable<string>;
  readonly show: (id: string) => Promise<string | undefined>;
  readonly histogram: (texts: Texts) => Promise<HistogramAnswer>;
  readonly top: (texts: Texts) => Promise<TopAnswer>;
  readonly query: (sql: string) => Promise<Table>;
  /** Events as they come in, and how many were left out before. */
  readonly tail: (texts: Texts, until: AbortSignal) => AsyncIterable<string | { readonly left: number }>;
  readonly close: () => Promise<void>;
};

const PAGE = 1000;

export type ServerFlags = { readonly server: string; readonly tokenFile?: string; readonly tlsCa?: string };

/** A running server. */
export function askServerOver({ server, tokenFile, tlsCa }: ServerFlags): DecisionSource {
  const base = server.replace(/\/+$/, '');
  const token = tokenFile === undefined ? undefined : readFileSync(tokenFile, 'utf8').trim();
  const dispatcher = new Agent(tlsCa === undefined ? {} : { connect: { ca: readFileSync(tlsCa, 'utf8') } });
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };

  async function get(path: string, texts: Texts, signal?: AbortSignal): Promise<Response> {
    const query = new URLSearchParams(texts).toString();
    return checked(
      await send(`${base}${path}${query === '' ? '' : `?${query}`}`, {
        headers,
        ...(signal === undefined ? {} : { signal }),
      }),
    );
  }

  async function send(url: string, init: Parameters<typeof fetch>[1]): Promise<Response> {
    try {
      return await fetch(url, { ...init, dispatcher });
    } catch (error) {
      const { cause } = error as { readonly cause?: unknown };
      throw new Error(`${base} cannot be asked: ${messageOf(cause ?? error)}`);
    }
  }

  return {
    list: async function* (texts, limit) {
      let cursor: string | undefined;
      for (let left = limit; left > 0; ) {
        const size = String(Math.min(left, PAGE));
        const response = await get('/v1/decisions', {
          ...texts,
          limit: size,
          ...(cursor === undefined ? {} : { cursor }),
        });
        const page = parseExact(await response.text()) as {
          readonly decisions: readonly Json[];
          readonly next: string | null;
        };
        for (const event of page.decisions) yield stringify(event);
        left -= page.decisions.length;
        if (page.next === null) return;
        cursor = page.next;
      }
    },
    show: async (id) => {
      const response = await send(`${base}/v1/decisions/${encodeURIComponent(id)}`, { headers });
      return response.status === 404 ? undefined : (await checked(response)).text();
    },
    histogram: async (texts) => (await (await get('/v1/decisions/histogram', texts)).json()) as HistogramAnswer,
    top: async (texts) => (await (await get('/v1/decisions/top', texts)).json()) as TopAnswer,
    query: async (sql) => {
      const body = JSON.stringify({ sql });
      const response = await send(`${base}/v1/decisions/query`, {
        ...{ method: 'POST', body },
        headers: { ...headers, 'content-type': 'application/json' },
      });
      return (await (await checked(response)).json()) as Table;
    },
    tail: async function* (texts, until) {
      const response = await get('/v1/decisions/tail', texts, until);
      let text = '';
      const decoder = new TextDecoder();
      for await (const part of response.body ?? []) {
        text += decoder.decode(part as Uint8Array, { stream: true });
        const messages = text.split('\n\n');
        text = messages.pop() ?? '';
        for (const message of messages) {
          const data = /^data: (.*)$/m.exec(message)?.[1];
          if (data === undefined) continue;
          yield message.startsWith('event: left') ? { left: (JSON.parse(data) as { count: number }).count } : data;
        }
      }
    },
    close: () => dispatcher.destroy(),
  };
}

/** What is not fine, in the server's words. */
async function checked(response: Response): Promise<Response> {
  if (response.ok) return response;
  const text = await response.text();
  let message = `HTTP ${response.status}`;
  try {
    const body = parseExact(text);
    if (isObject(body) && typeof body['message'] === 'string') message = body['message'];
  } catch {
    // Not one of our servers.
  }
  throw new Error(message);
}

/** The files of a stopped server. */
export function askFiles(queries: DecisionQueries, close: () => Promise<void>): DecisionSource {
  return {
    list: async function* (texts, limit) {
      const filters = filtersOf(readParameters('tail', texts), Date.now());
      let after: Position | undefined;
      for (let left = limit; left > 0; ) {
        const size = Math.min(left, PAGE);
        const page = answerOf(await queries.list({ filters, limit: size, ...(after === undefined ? {} : { after }) }));
        yield* page.events;
        left -= page.events.length;
        if (page.last === undefined) return;
        after = page.last;
      }
    },
    show: async (id) => answerOf(await queries.show(id)),
    histogram: async (texts) =>
      answerOf(await queries.histogram(histogramOf(readParameters('histogram', texts), Date.now()))),
    top: async (texts) => answerOf(await queries.top(topOf(readParameters('top', texts), Date.now()))),
    query: async (sql) => answerOf(await queries.sql(sql)),
    // biome-ignore lint/correctness/useYield: it has nothing to give
    tail: async function* () {
      throw new Error('tail watches a running server; --path is for one that has stopped');
    },
    close,
  };
}

function answerOf<T>(answer: Answer<T>): T {
  if (!answer.ok) throw new Error(answer.problem);
  return answer.value;
}
