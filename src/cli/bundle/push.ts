import { type ConfigFlags, requireConfiguration } from '../configuration.ts';
import { type Format, headerOf } from '../flags.ts';
import type { Io } from '../ports.ts';
import { line } from './describe.ts';
import type { PushBundle } from './ports.ts';

export type PushFlags = ConfigFlags & {
  readonly header: readonly string[];
  readonly tokenFile?: string;
  readonly check: boolean;
  readonly format: Format;
};

/** `postern bundle push`: to where it is fetched from. Returns the exit code. */
export async function push(
  url: string,
  bundle: string,
  flags: PushFlags,
  io: Io,
  pushBundle: PushBundle,
): Promise<number> {
  const { tokenFile, check, format } = flags;
  const headers = flags.header.map(headerOf);
  const config = requireConfiguration(flags, io.env);
  const { to, answer, file } = await pushBundle({ url, bundle, headers, tokenFile, check }, config);
  io.stdout.write(
    format === 'json'
      ? `${JSON.stringify({ to, answer, ...file })}\n`
      : `${line('pushed', `${bundle}, ${file.bytes} bytes, to ${to}: ${answer}`)}\n${line('sha256', file.sha256)}\n`,
  );
  return 0;
}
