import { putHttp } from '../../bundles/push.ts';
import { putObject } from '../../bundles/s3/put-object.ts';
import { bundleLimits } from '../../bundles/unpack.ts';
import type { PushBundle, PushRequest } from '../../cli/bundle/ports.ts';
import { CommandFailed } from '../../cli/failure.ts';
import { parseS3Address } from '../../config/bundle-addresses.ts';
import type { S3Config } from '../../config/schema.ts';
import { createTransport } from '../../lib/http-transport.ts';
import { messageOf } from '../../lib/message.ts';
import { readLimited } from '../../lib/read-limited.ts';
import { fileOf } from './build.ts';
import { inspectContent } from './inspect.ts';
import { readSecretFile } from './secret-file.ts';

/** Where a bundle goes. */
type Target = {
  /** As it may be told. */
  readonly name: string;
  /** Resolves with what the server says. Rejects with what to tell. */
  readonly put: (archive: Buffer) => Promise<string>;
};

export const pushBundle: PushBundle = async (request, config, env) => {
  const target = request.url.startsWith('s3:') ? s3Target(request, config.postern.s3) : await httpTarget(request, env);
  const archive = await readLimited(request.bundle, bundleLimits.packed);
  if (request.check) {
    const { problems } = await inspectContent({ archive }, config);
    if (problems.length > 0) {
      throw new CommandFailed(['not pushed: the bundle could not serve', ...problems].join('\n'));
    }
  }
  const answer = await target.put(archive).catch((error: unknown) => {
    throw new CommandFailed(`not pushed: ${messageOf(error)}`);
  });
  return { to: target.name, answer, file: fileOf(archive) };
};

function s3Target({ url, headers, tokenFile, caFile }: PushRequest, config: S3Config): Target {
  if (parseS3Address(url) === undefined) throw badAddress();
  if (headers.length > 0 || tokenFile !== undefined || caFile !== undefined) {
    throw new Error(
      '--header, --token-file and --tls-ca are for http(s); S3 has its keys from AWS_ACCESS_KEY_ID and its like',
    );
  }
  return {
    name: url,
    put: async (archive) => {
      const { etag, versionId } = await putObject(url, archive, { config });
      return versionId === undefined ? etag : `${etag}, version ${versionId}`;
    },
  };
}

async function httpTarget(request: PushRequest, env: Parameters<PushBundle>[2]): Promise<Target> {
  const url = addressOf(request.url);
  const headers = await headersOf(request);
  const name = `${url.origin}${url.pathname}`;
  return {
    name,
    put: async (archive) => {
      const trust = { caFile: request.caFile, withSystemCa: false, skipVerification: false };
      const transport = createTransport({ ...trust, certificate: undefined, env });
      try {
        const dispatcher = await transport.to(url, 'service');
        return String(await putHttp({ url, bytes: archive, headers, dispatcher }));
      } catch (error) {
        throw new Error(`PUT ${name}: ${messageOf(error)}`);
      } finally {
        await transport.close();
      }
    },
  };
}

const badAddress = (): Error => new Error('the address to push to is http(s)://HOST/PATH or s3://BUCKET/KEY');

/** What stands in the query may be a signature, and is never told. */
function addressOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) throw badAddress();
  if (url.username !== '' || url.password !== '') {
    throw new Error('the address to push to has a user or a password in it; give credentials with --token-file');
  }
  return url;
}

async function headersOf({ headers, tokenFile }: PushRequest): Promise<{ [name: string]: readonly string[] }> {
  const all: { [name: string]: readonly string[] } = {};
  for (const [name, value] of headers) all[name.toLowerCase()] = [...(all[name.toLowerCase()] ?? []), value];
  if (tokenFile === undefined) return all;
  if (all['authorization'] !== undefined) throw new Error('--token-file and a header Authorization exclude each other');
  const token = (await readSecretFile('--token-file', tokenFile)).trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Error('--token-file: there is no token in it, or more than one');
  return { ...all, authorization: [`Bearer ${token}`] };
}
