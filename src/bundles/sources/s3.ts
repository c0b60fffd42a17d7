import type { Readable } from 'node:stream';
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { parseS3Address, type S3Address } from '../../config/bundle-addresses.ts';
import type { S3Config } from '../../config/schema.ts';
import { readBounded } from '../../lib/bounded-body.ts';
import { BundleError } from '../error.ts';
import { openS3, type S3, s3Limits, withDeadline } from '../s3/client.ts';
import { explainS3, statusOf } from '../s3/explain.ts';
import { bundleLimits } from '../unpack.ts';
import type { BundleSource, Fetched } from './source.ts';

/**
 * A bundle in S3 (`s3://BUCKET/KEY`), asked for with the ETag of the active one. A version's tag is its ETag, and its
 * version id where the bucket has versions. Throws BundleError when the address is none.
 */
export function createS3Source(resource: string, config: S3Config, limits = s3Limits): BundleSource {
  const address = parseS3Address(resource);
  if (address === undefined) throw new BundleError(`${resource}: s3://BUCKET/KEY is expected`);
  let opening: Promise<S3> | undefined;
  return async (tag, signal) => {
    try {
      opening ??= openS3(config, limits);
      const s3 = await opening;
      return await withDeadline(limits.totalMs, signal, (ends) => look(s3, address, tag, ends));
    } catch (error) {
      throw explainS3(address, 'read', error);
    }
  };
}

async function look(
  { sdk, client }: S3,
  address: S3Address,
  tag: string | undefined,
  signal: AbortSignal,
): Promise<Fetched> {
  const etag = etagOf(tag);
  const command = new sdk.GetObjectCommand({
    Bucket: address.bucket,
    Key: address.key,
    ...(etag === undefined ? {} : { IfNoneMatch: etag }),
  });
  let answer: GetObjectCommandOutput;
  try {
    answer = await client.send(command, { abortSignal: signal });
  } catch (error) {
    if (statusOf(error) !== 304) throw error;
    // Taken at its word, a server that always says so would leave us without a policy and without an error.
    if (etag === undefined) throw new BundleError('the server answered 304, and was not asked for changes only');
    return { kind: 'unchanged' };
  }
  const { Body: body, ContentLength: length, ETag: found = '', VersionId: version } = answer;
  if (body === undefined) throw new BundleError('the server answered without a body');
  const archive = await readBounded(body as Readable, bundleLimits.packed);
  if (length !== undefined && length !== archive.length) throw new BundleError('the download is short');
  return { kind: 'new', content: { archive }, tag: version === undefined ? found : `${found} ${version}` };
}

/** The ETag of a tag; undefined when the server gave none. */
const etagOf = (tag: string | undefined): string | undefined => /^(?:W\/)?"[^"]*"/.exec(tag ?? '')?.[0];
