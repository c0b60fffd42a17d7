import { type ConfigFlags, requireConfiguration } from '../configuration.ts';
import type { Format } from '../flags.ts';
import type { Io } from '../ports.ts';
import { describe } from './describe.ts';
import type { InspectBundle } from './ports.ts';

export type InspectFlags = ConfigFlags & { readonly format: Format };

/** `postern bundle inspect`: what is in it, and can it serve? Returns the exit code: 1 when it cannot. */
export async function inspect(file: string, flags: InspectFlags, io: Io, look: InspectBundle): Promise<number> {
  const report = await look(file, requireConfiguration(flags, io.env));
  io.stdout.write(flags.format === 'json' ? `${JSON.stringify(report)}\n` : describe(report));
  return report.problems.length === 0 ? 0 : 1;
}
