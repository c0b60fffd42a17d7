import { putHttp } from '../../bundles/push.ts';
import { bundleLimits } from '../../bundles/unpack.ts';
import type { PushBundle, PushRequest } from '../../cli/bundle/ports.ts';
import { CommandFailed } from '../../cli/failure.ts';
import { createTransport } from '../../lib/http-transport.ts';
import { messageOf } from '../../lib/message.ts';
import { readLimited } from '../../lib/read-limited.ts';
import { fileOf } from './build.ts';
import { inspectContent } from './inspect.ts';
import { readSecretFile } from './secret-file.ts';

export const pushBundle: PushBundle = async (request, config, env) => {
  const url = addressOf(request.url);
  const headers = await headersOf(request);
  const archive = await readLimited(request.bundle, bundleLimits.packed);
  if (request.check) {
    const { problems } = await inspectContent({ archive }, config);
    if (problems.length > 0) {
      throw new CommandFailed(['not pushed: the bundle could not serve', ...problems].join('\n'));
    }
  }
  const to = `${url.origin}${url.pathname}`;
  const transport = createTransport({
    ...{ caFile: request.caFile, withSystemCa: false, certificate: undefined, skipVerification: false, env },
  });
  try {
    const dispatcher = await transport.to(url, 'service');
    const status = await putHttp({ url, bytes: archive, headers, dispatcher }).catch((error: unknown) => {
      throw new CommandFailed(`PUT ${to}: ${messageOf(error)}`);
    });
    return { to, answer: String(status), file: fileOf(archive) };
  } finally {
    await transport.close();
  }
};

/** What stands in the query may be a signature, and is never told. */
function addressOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new Error('the address to push to is http(s)://HOST/PATH or s3://BUCKET/KEY');
  }
  if (url.username !== '' || url.password !== '') {
    throw new Error('the address to push to has a user or password in it; give credentials with --token-file');
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
