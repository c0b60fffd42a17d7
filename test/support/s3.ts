import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutBucketVersioningCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3';
import { putObject } from '../../src/bundles/s3/put-object.ts';
import type { S3Config } from '../../src/config/schema.ts';
import { eventually, freePorts, startProcess, tool } from './process.ts';
import type { Scope } from './scope.ts';
import { scratchFolder } from './servers.ts';

/** The environment in which programs have the keys of the server. */
export const s3Env = {
  AWS_ACCESS_KEY_ID: 'postern-test',
  AWS_SECRET_ACCESS_KEY: 'postern-test-secret',
  AWS_REGION: 'eu-test-1',
} as const;

export type S3Server = {
  readonly endpoint: string;
  readonly config: S3Config;
  readonly createBucket: (bucket: string, options?: { readonly versions: boolean }) => Promise<void>;
  /** Puts an object of a bucket and gives its ETag. */
  readonly put: (bucket: string, key: string, bytes: Uint8Array) => Promise<string>;
  /** All objects of a bucket, by key. */
  readonly objects: (bucket: string) => Promise<ReadonlyMap<string, Uint8Array>>;
  readonly remove: (bucket: string, key: string) => Promise<void>;
  readonly removeBucket: (bucket: string) => Promise<void>;
  readonly stop: () => Promise<void>;
};

/** Without it the SDK would ask the metadata service of a cloud, or read the files of whoever runs the test. */
export function isolateSdk(folder: string, env: { readonly [name: string]: string } = {}): void {
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
  Object.assign(process.env, {
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_SHARED_CREDENTIALS_FILE: join(folder, 'no-credentials'),
    AWS_CONFIG_FILE: join(folder, 'no-config'),
    ...env,
  });
}

/** A real S3 server (versitygw) on a folder of its own and a free port of the loopback interface. */
export async function startS3(scope: Scope): Promise<S3Server> {
  const folder = scratchFolder(scope);
  for (const name of ['data', 'versions', 'meta']) mkdirSync(join(folder, name));
  const [port = 0] = await freePorts(1);
  const endpoint = `http://127.0.0.1:${port}`;
  const child = startProcess(
    scope,
    tool('versitygw'),
    [
      ...['--port', `127.0.0.1:${port}`, '--region', s3Env.AWS_REGION, '--health', '/health', '--quiet'],
      ...['posix', '--versioning-dir', join(folder, 'versions'), '--sidecar', join(folder, 'meta')],
      join(folder, 'data'),
    ],
    { env: { ROOT_ACCESS_KEY: s3Env.AWS_ACCESS_KEY_ID, ROOT_SECRET_KEY: s3Env.AWS_SECRET_ACCESS_KEY } },
  );
  await Promise.race([
    eventually(async () => ((await fetch(`${endpoint}/health`)).ok ? true : undefined)),
    child.exited.then((code) => {
      throw new Error(`versitygw ended with ${code}:\n${child.stdout()}${child.stderr()}`);
    }),
  ]);
  const client = new S3Client({
    endpoint,
    forcePathStyle: true,
    region: s3Env.AWS_REGION,
    credentials: { accessKeyId: s3Env.AWS_ACCESS_KEY_ID, secretAccessKey: s3Env.AWS_SECRET_ACCESS_KEY },
  });
  scope.after(() => client.destroy());
  const config = { endpoint, region: s3Env.AWS_REGION, force_path_style: true };
  return {
    endpoint,
    config,
    createBucket: async (bucket, { versions } = { versions: false }) => {
      await client.send(new CreateBucketCommand({ Bucket: bucket }));
      if (!versions) return;
      const VersioningConfiguration = { Status: 'Enabled' } as const;
      await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
    },
    put: async (bucket, key, bytes) => (await putObject(`s3://${bucket}/${key}`, bytes, { config })).etag,
    objects: async (bucket) => {
      const found = new Map<string, Uint8Array>();
      for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket })) {
        for (const { Key = '' } of page.Contents ?? []) {
          const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key }));
          found.set(Key, (await Body?.transformToByteArray()) ?? new Uint8Array());
        }
      }
      return found;
    },
    remove: async (bucket, key) => {
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
    },
    removeBucket: async (bucket) => {
      await client.send(new DeleteBucketCommand({ Bucket: bucket }));
    },
    stop: async () => void (await child.stop()),
  };
}
