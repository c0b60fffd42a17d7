import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import type { S3SigningConfig } from '../../../config/schema.ts';
import { type AwsKeys, createAwsKeys, type Env } from './aws-keys.ts';

/** A request as it will be sent. */
export type Unsigned = {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
};

/**
 * Signs requests (AWS Signature Version 4), with keys from where the configuration says. Gives the
 * headers to send beside those of the request; rejects with BundleError when there are no keys.
 */
export function createS3Signing(
  config: S3SigningConfig,
  env: Env,
): (
  request: Unsigned & { readonly body?: string | Uint8Array | undefined },
) => Promise<Readonly<Record<string, string>>> {
  const keys = createAwsKeys(config, env);
  return async (request) => signAws(request, request.body ?? '', config.service ?? 's3', await keys());
}

/** Left over when a request is signed anew. */
const OF_A_SIGNATURE = new Set(['x-amz-date', 'x-amz-security-token', 'x-amz-content-sha256']);

/** The headers that sign a request with this body. */
export async function signAws(
  { method, url, headers }: Unsigned,
  body: string | Uint8Array,
  service: string,
  { region, credentials }: AwsKeys,
): Promise<Readonly<Record<string, string>>> {
  const { SignatureV4 } = await import('@smithy/signature-v4');
  const isS3 = service === 's3';
  const signer = new SignatureV4({
    service,
    region,
    credentials,
    sha256: Sha256,
    uriEscapePath: !isS3,
    applyChecksum: isS3,
  });
  // AWS wants these signed; whatever a proxy may change on the way is better left out.
  const signed = Object.entries(headers)
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => (name.startsWith('x-amz-') && !OF_A_SIGNATURE.has(name)) || name === 'content-type');
  const request = await signer.sign({
    method,
    protocol: url.protocol,
    hostname: url.hostname,
    path: isS3 ? escaped(url.pathname) : url.pathname,
    query: queryOf(url),
    headers: { ...Object.fromEntries(signed), host: url.host },
    ...(body.length === 0 ? {} : { body }),
  });
  const { host: _host, ...rest } = request.headers;
  return rest;
}

/** S3 signs a path in which all is escaped that can be (RFC 3986 section 2.3), however it is sent. */
function escaped(path: string): string {
  const one = (segment: string): string =>
    encodeURIComponent(decodeURIComponent(segment)).replace(
      /[!'()*]/g,
      (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  return path.split('/').map(one).join('/');
}

function queryOf(url: URL): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {};
  for (const name of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(name);
    query[name] = values.length === 1 ? (values[0] ?? '') : values;
  }
  return query;
}

type Bytes = string | ArrayBuffer | ArrayBufferView;

/** The shape that the signer expects of a hash, which with a secret is an HMAC. */
class Sha256 {
  #hash: Hash | Hmac;
  readonly #secret: Bytes | undefined;

  constructor(secret?: Bytes) {
    this.#secret = secret;
    this.#hash = this.#start();
  }

  #start(): Hash | Hmac {
    return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', bufferOf(this.#secret));
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    this.#hash = this.#start();
  }
}

function bufferOf(bytes: Bytes): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes);
  return ArrayBuffer.isView(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : Buffer.from(bytes);
}
