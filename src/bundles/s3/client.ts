import type { S3Client } from '@aws-sdk/client-s3';
import type { S3Config } from '../../config/schema.ts';
import { BundleError } from '../error.ts';

export type S3Limits = {
  /** For a connection, and then for the headers of an answer. */
  readonly connectMs: number;
  readonly headersMs: number;
  /** For everything: keys, attempts, the whole body. */
  readonly totalMs: number;
};

export const s3Limits: S3Limits = { connectMs: 5000, headersMs: 10_000, totalMs: 60_000 };

/** The SDK and a client, which finds keys and region where every program with this SDK finds them. */
export type S3 = { readonly sdk: typeof import('@aws-sdk/client-s3'); readonly client: S3Client };

/** Loads the SDK, which takes its time and memory, only now. */
export async function openS3(config: S3Config, { connectMs, headersMs }: S3Limits): Promise<S3> {
  const sdk = await import('@aws-sdk/client-s3');
  const client = new sdk.S3Client({
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    ...(config.region === undefined ? {} : { region: config.region }),
    forcePathStyle: config.force_path_style,
    // Whoever polls tries again; one more attempt here corrects a clock that is wrong.
    maxAttempts: 2,
    requestHandler: { connectionTimeout: connectMs, requestTimeout: headersMs, throwOnRequestTimeout: true },
  });
  return { sdk, client };
}

/**
 * Does something with S3 that ends when the signal says so, or after a time. The signal given to `task` ends what it
 * leaves behind. Rejects with BundleError when the time is over.
 */
export async function withDeadline<T>(
  totalMs: number,
  signal: AbortSignal,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  const late = AbortSignal.timeout(totalMs);
  const any = AbortSignal.any([signal, late, done.signal]);
  try {
    // The SDK looks for keys whatever the signal says.
    return await Promise.race([task(any), aborted(any)]);
  } catch (error) {
    if (late.aborted && !signal.aborted) throw new BundleError(`not done within ${totalMs / 1000} s`);
    throw error;
  } finally {
    done.abort();
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
