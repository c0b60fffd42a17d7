import type { Header, RequestFacts } from '../../src/model/facts.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { messageOf } from '../../src/values/request-message.ts';

/** Facts with headers as pairs of name and value, and the message as a tree. */
export type FactsLike = Partial<Omit<RequestFacts, 'headers' | 'headerList' | 'message'>> & {
  readonly headers?: Readonly<Record<string, string>>;
  readonly headerList?: readonly (readonly [name: string, value: string])[];
  readonly message?: JsonObject;
};

const headerOf = ([name, value]: readonly [name: string, value: string]): Header => ({
  name,
  lower: name.toLowerCase(),
  value,
});

/** Facts of a small request, but for what is given. */
export const facts = ({ headers = {}, headerList = [], message = {}, ...over }: FactsLike = {}): RequestFacts => ({
  message: messageOf(message),
  method: 'GET',
  path: '/a',
  host: 'api.test',
  fragment: '',
  isHttp: true,
  headers: Object.entries(headers).map(headerOf),
  headerList: headerList.map(headerOf),
  body: '',
  rawBody: new Uint8Array(),
  sourcePrincipal: '',
  sourceAddress: '',
  ...over,
});
