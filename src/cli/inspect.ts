import { messageOf } from '../lib/message.ts';
import { type ConfigFlags, readConfiguration } from './configuration.ts';
import type { BundleReport, InspectBundle, Io } from './ports.ts';

export type InspectFlags = ConfigFlags & { readonly format: 'text' | 'json' };

/** `postern bundle inspect`: what is in it, and can it serve? Returns the exit code: 1 when it cannot. */
export async function inspect(file: string, flags: InspectFlags, io: Io, look: InspectBundle): Promise<number> {
  let report: BundleReport;
  try {
    const loaded = readConfiguration(flags, io.env);
    if (!loaded.ok) throw new Error(loaded.problems.join('\n'));
    report = await look(file, loaded.config);
  } catch (error) {
    for (const line of messageOf(error).split('\n')) io.stderr.write(`postern: ${line}\n`);
    return 2;
  }
  io.stdout.write(flags.format === 'json' ? `${JSON.stringify(report)}\n` : describe(report));
  return report.problems.length === 0 ? 0 : 1;
}

function describe({ revision, roots, modules, data, problems }: BundleReport): string {
  const line = (name: string, value: string): string => `${`${name}:`.padEnd(13)}${value === '' ? 'none' : value}`;
  const lines = [
    line('revision', revision),
    line('roots', roots.map((root) => (root === '' ? '(everything)' : root)).join(', ')),
    line('data', `${data} bytes`),
    ...modules.flatMap(({ path, size, abi, memory, entrypoints, builtins, waiting }) => [
      line('module', `${path}, ${size} bytes, ABI ${abi ?? 'unknown'}, ${memory} bytes of memory`),
      line('entrypoints', entrypoints.join(', ')),
      line('built-ins', builtins.join(', ')),
      ...(waiting.length === 0 ? [] : [line('network', waiting.join(', '))]),
    ]),
    ...problems.map((problem) => line('problem', problem)),
    problems.length === 0 ? 'it can serve' : 'it cannot serve',
  ];
  return `${lines.join('\n')}\n`;
}
