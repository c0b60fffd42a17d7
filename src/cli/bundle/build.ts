import { type ConfigFlags, requireConfiguration } from '../configuration.ts';
import { CommandFailed } from '../failure.ts';
import type { Format } from '../flags.ts';
import type { Io } from '../ports.ts';
import { describe, line } from './describe.ts';
import type { BuildBundle } from './ports.ts';

export type BuildFlags = ConfigFlags & {
  readonly output: string;
  readonly entrypoint: readonly string[];
  readonly revision?: string;
  readonly ignore: readonly string[];
  readonly capabilities?: string;
  readonly bundle?: true;
  readonly format: Format;
};

/** `postern bundle build`: Rego to a bundle that can serve. Returns the exit code. */
export async function build(
  paths: readonly string[],
  flags: BuildFlags,
  io: Io,
  buildBundle: BuildBundle,
): Promise<number> {
  const { output, format } = flags;
  const { report, file } = await buildBundle(
    {
      paths,
      output,
      entrypoints: flags.entrypoint,
      revision: flags.revision,
      ignore: flags.ignore,
      capabilities: flags.capabilities,
      asBundles: flags.bundle === true,
    },
    requireConfiguration(flags, io.env),
    io.env,
  );
  if (format === 'json') io.stdout.write(`${JSON.stringify({ ...report, ...(file && { output, ...file }) })}\n`);
  else io.stdout.write(describe(report));
  if (file === undefined) throw new CommandFailed(`${output} was not written: the bundle could not serve`);
  if (format === 'text')
    io.stdout.write(`${line('written', `${output}, ${file.bytes} bytes`)}\n${line('sha256', file.sha256)}\n`);
  return 0;
}
