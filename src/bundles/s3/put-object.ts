import { parseS3Address } from '../../config/bundle-addresses.ts';
import type { S3Config } from '../../config/schema.ts';
import { BundleError } from '../error.ts';
import { openS3, s3Limits, withDeadline } from './client.ts';
import { explainS3 } from './explain.ts';

export type PutOptions = {
  readonly config: S3Config;
  /** Put only what is not there yet (`*`), as If-None-Match has it. */
  readonly ifNoneMatch?: '*';
  /** Put only in place of the version with this ETag. */
  readonly ifMatch?: string;
  readonly signal?: AbortSignal;
};

/**
 * Puts an object at `s3://BUCKET/KEY`, with the keys that the SDK finds. Gives its ETag, and its version id where the
 * bucket has versions. Rejects with BundleError.
 */
export async function putObject(
  resource: string,
  bytes: Uint8Array,
  { config, ifNoneMatch, ifMatch, signal = new AbortController().signal }: PutOptions,
): Promise<{ readonly etag: string; readonly versionId: string | undefined }> {
  const address = parseS3Address(resource);
  if (address === undefined) throw new BundleError(`${resource}: s3://BUCKET/KEY is expected`);
  try {
    const { sdk, client } = await openS3(config, s3Limits);
    const command = new sdk.PutObjectCommand({
      Bucket: address.bucket,
      Key: address.key,
      Body: bytes,
      ContentType: 'application/gzip',
      ...(ifNoneMatch === undefined ? {} : { IfNoneMatch: ifNoneMatch }),
      ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
    });
    try {
      const put = await withDeadline(s3Limits.totalMs, signal, (ends) => client.send(command, { abortSignal: ends }));
      return { etag: put.ETag ?? '', versionId: put.VersionId };
    } finally {
      client.destroy();
    }
  } catch (error) {
    throw explainS3(address, 'write', error);
  }
}
