import type { RequestFacts } from '../../src/model/facts.ts';

/** Facts of a small request, but for what is given. */
export const facts = (over: Partial<RequestFacts> = {}): RequestFacts => ({
  message: {},
  method: 'GET',
  path: '/a',
  host: 'api.test',
  fragment: '',
  isHttp: true,
  headers: {},
  headerList: [],
  body: '',
  rawBody: new Uint8Array(),
  sourcePrincipal: '',
  ...over,
});
