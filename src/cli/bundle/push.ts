import { type ConfigFlags, requireConfiguration } from '../configuration.ts';
import { type Format, headerOf } from '../flags.ts';
import type { Io } from '../ports.ts';
import { line } from './describe.ts';
import type { PushBundle } from './ports.ts';

export type PushFlags = ConfigFlags & {
  readonly header: readonly string[];
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly check: boolean;
  readonly format: Format;
};

const LOOPBACK = /^http:\/\/(?:localhost|127\.[0-9.]+|\[::1\])(?:[:/]|$)/i;

/** `postern bundle push`: to where it is fetched from. Returns the exit code. */
export async function push(
  url: string,
  bundle: string,
  flags: PushFlags,
  io: Io,
  pushBundle: PushBundle,
): Promise<number> {
  const { tokenFile, tlsCa: caFile, check, format } = flags;
  const headers = flags.header.map(headerOf);
  if (tokenFile !== undefined && /^http:/i.test(url) && !LOOPBACK.test(url)) {
    io.stderr.write('postern: the token is sent without encryption; https would keep it secret\n');
  }
  const config = requireConfiguration(flags, io.env);
  const { to, answer, file } = await pushBundle({ url, bundle, headers, tokenFile, caFile, check }, config, io.env);
  io.stdout.write(
    format === 'json'
      ? `${JSON.stringify({ to, answer, ...file })}\n`
      : `${line('pushed', `${bundle}, ${file.bytes} bytes, to ${to}: ${answer}`)}\n${line('sha256', file.sha256)}\n`,
  );
  return 0;
}
