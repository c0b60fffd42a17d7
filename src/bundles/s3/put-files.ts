import type { S3Config } from '../../config/schema.ts';
import { openS3, type S3, withDeadline } from './client.ts';
import { explainS3 } from './explain.ts';

const limits = { connectMs: 5000, headersMs: 600_000, totalMs: 600_000 };
/** What a small file may take, and how slow the way of a large one may be. */
const LEAST_MS = 60_000;
const BYTES_PER_MS = 100;

/**
 * Puts Parquet files into a bucket, in place of what is there. Rejects with BundleError. The SDK is loaded for the first
 * one, and the client is kept, since a role would be assumed anew by each.
 */
export function putFilesTo(
  bucket: string,
  config: S3Config,
): (key: string, bytes: Uint8Array, signal: AbortSignal) => Promise<void> {
  let opened: S3 | undefined;
  return async (key, bytes, signal) => {
    try {
      opened ??= await openS3(config, limits);
      const { sdk, client } = opened;
      const command = new sdk.PutObjectCommand({
        Bucket: bucket,
        Key: key,
        Body: bytes,
        ContentType: 'application/vnd.apache.parquet',
      });
      const totalMs = Math.min(limits.totalMs, LEAST_MS + Math.ceil(bytes.length / BYTES_PER_MS));
      await withDeadline(totalMs, signal, (ends) => client.send(command, { abortSignal: ends }));
    } catch (error) {
      throw explainS3({ bucket, key }, 'write', error);
    }
  };
}
