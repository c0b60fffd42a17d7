import { request } from 'undici';
import type { ServiceConfig } from '../../config/schema.ts';
import { readBounded } from '../../lib/bounded-body.ts';
import { readLimited } from '../../lib/read-limited.ts';
import { BundleError } from '../error.ts';
import { bundleLimits } from '../unpack.ts';
import type { Env } from './credentials/aws-keys.ts';
import { createS3Signing } from './credentials/s3-signing.ts';
import type { BundleSource } from './source.ts';

const DOWNLOAD_MS = 60_000;
const MAX_TOKEN_BYTES = 65_536;

/**
 * A bundle on an HTTP server, asked for with the tag of the active one (RFC 9110 section 13.1.2, If-None-Match). A
 * redirect is not followed: it could carry credentials elsewhere.
 */
export function createHttpSource(url: string, service: ServiceConfig | undefined, env: Env = {}): BundleSource {
  const signing = service?.credentials?.s3_signing;
  const sign = signing === undefined ? undefined : createS3Signing(signing, env);
  return async (tag, signal) => {
    const isConditional = tag !== undefined && tag !== '';
    const headers = {
      ...service?.headers,
      ...(await authorization(service)),
      ...(isConditional ? { 'if-none-match': tag } : {}),
      'accept-encoding': 'identity',
    };
    const response = await request(url, {
      headers: { ...headers, ...(await sign?.({ method: 'GET', url: new URL(url), headers })) },
      headersTimeout: (service?.response_header_timeout_seconds ?? 10) * 1000,
      signal: AbortSignal.any([signal, AbortSignal.timeout(DOWNLOAD_MS)]),
    });
    const { statusCode, body } = response;
    if (statusCode === 304) {
      await body.dump({ limit: 65_536, signal });
      // Taken at its word, a server that always says so would leave us without a policy and without an error.
      if (!isConditional) throw new BundleError('the server answered 304, and was not asked for changes only');
      return { kind: 'unchanged' };
    }
    if (statusCode !== 200) {
      await body.dump({ limit: 65_536, signal });
      const redirect = statusCode >= 300 && statusCode < 400 ? '; redirects are not followed' : '';
      throw new BundleError(`the server answered ${statusCode}${redirect}`);
    }
    const announced = response.headers['content-length'];
    const bytes = await readBounded(body, bundleLimits.packed);
    if (typeof announced === 'string' && Number(announced) !== bytes.length)
      throw new BundleError('the download is short');
    const etag = response.headers['etag'];
    return { kind: 'new', content: { archive: bytes }, tag: typeof etag === 'string' ? etag : '' };
  };
}

async function authorization(service: ServiceConfig | undefined): Promise<{ readonly authorization?: string }> {
  const bearer = service?.credentials?.bearer;
  if (bearer === undefined) return {};
  const token =
    bearer.token_path === undefined
      ? bearer.token
      : (await readLimited(bearer.token_path, MAX_TOKEN_BYTES)).toString('utf8').trim();
  return token === undefined ? {} : { authorization: `${bearer.scheme} ${token}` };
}
