import { request } from 'undici';
import { BundleError } from './error.ts';

/** For a connection and its answer, and for everything, ms. */
const HEADERS_MS = 60_000;
const TOTAL_MS = 300_000;
const MAX_ANSWER_BYTES = 65_536;

/**
 * Puts a bundle at an address (RFC 9110 section 9.3.4) and gives the status of the answer, which is a good one. What the
 * server says beside it is not looked at. A redirect is not followed: it could carry credentials elsewhere. Rejects with
 * BundleError, which quotes nothing of the address.
 */
export async function putHttp(
  url: string,
  bytes: Uint8Array,
  headers: { readonly [name: string]: string },
): Promise<number> {
  const signal = AbortSignal.timeout(TOTAL_MS);
  let statusCode: number;
  try {
    const answer = await request(url, {
      ...{ method: 'PUT', body: bytes, signal, headersTimeout: HEADERS_MS },
      headers: { 'content-type': 'application/gzip', ...headers },
    });
    statusCode = answer.statusCode;
    await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal });
  } catch (error) {
    throw new BundleError(signal.aborted ? `not done within ${TOTAL_MS / 1000} s` : causeOf(error));
  }
  if (statusCode >= 200 && statusCode < 300) return statusCode;
  const redirect = statusCode >= 300 && statusCode < 400 ? '; redirects are not followed' : '';
  throw new BundleError(`the server answered ${statusCode}${redirect}`);
}

/** Messages of failed connections name addresses, those of others may quote headers. */
function causeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^[A-Z][A-Z0-9_]+$/.test(code) ? `the connection failed (${code})` : 'the connection failed';
}
