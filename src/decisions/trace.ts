import { headersNamed } from '../lib/request-headers.ts';
import type { RequestFacts } from '../model/facts.ts';

/** Both in lower-case hex, 32 and 16 digits. */
export type TraceContext = { readonly traceId: string; readonly spanId: string };

/** W3C Trace Context section 3.2.2; versions after 00 may carry more behind a dash. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const ZEROS = /^0+$/;

/** The trace that the request belongs to, when its `traceparent` header is there and valid. */
export function traceContextOf(facts: RequestFacts): TraceContext | undefined {
  const match = TRACEPARENT.exec(headersNamed(facts, 'traceparent')[0]?.value.trim() ?? '');
  if (match === null) return undefined;
  const [, version, traceId = '', spanId = '', more] = match;
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  return ZEROS.test(traceId) || ZEROS.test(spanId) ? undefined : { traceId, spanId };
}
