import { type Dispatcher, request } from 'undici';
import { networkFailure } from '../lib/network-failure.ts';
import { BundleError } from './error.ts';

/** For the answer's headers, and for everything, ms. */
const HEADERS_MS = 60_000;
const TOTAL_MS = 300_000;
const MAX_ANSWER_BYTES = 65_536;

export type PutRequest = {
  readonly url: URL;
  readonly bytes: Uint8Array;
  /** Names in lower case. */
  readonly headers: { readonly [name: string]: readonly string[] };
  readonly dispatcher: Dispatcher;
};

/**
 * Puts a bundle at an address (RFC 9110 section 9.3.4) and gives the status of the answer, when it is a good one. What the
 * server says beside it is not looked at. A redirect is not followed: it could carry credentials elsewhere. Rejects with
 * BundleError, which quotes nothing that was sent.
 */
export async function putHttp({ url, bytes, headers, dispatcher }: PutRequest): Promise<number> {
  const signal = AbortSignal.timeout(TOTAL_MS);
  let statusCode: number;
  try {
    const answer = await request(url, {
      ...{ method: 'PUT', body: bytes, dispatcher, signal, headersTimeout: HEADERS_MS },
      headers: {
        'user-agent': 'postern',
        'content-type': 'application/gzip',
        ...Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, [...values]])),
      },
    });
    statusCode = answer.statusCode;
    await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal });
  } catch (error) {
    throw new BundleError(signal.aborted ? `not done within ${TOTAL_MS / 1000} s` : networkFailure(error));
  }
  if (statusCode >= 200 && statusCode < 300) return statusCode;
  const redirect = statusCode >= 300 && statusCode < 400 ? '; redirects are not followed' : '';
  throw new BundleError(`the server answered ${statusCode}${redirect}`);
}
