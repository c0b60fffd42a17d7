import { accessSync, constants, readFileSync } from 'node:fs';
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { messageOf } from '../lib/message.ts';

export type ConfigFlags = {
  readonly configFile?: string;
  readonly set: readonly string[];
  readonly setFile: readonly string[];
};

/** The configuration that the flags name, or every problem with it. */
export function readConfiguration(
  flags: ConfigFlags,
  env: { readonly [name: string]: string | undefined },
): LoadedConfig {
  const readText = (file: string): string => readFileSync(file, 'utf8');
  const isReadable = (file: string): boolean => {
    try {
      accessSync(file, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  };
  let text: string | undefined;
  try {
    text = flags.configFile === undefined ? undefined : readText(flags.configFile);
  } catch (error) {
    return { ok: false, problems: [`--config-file: ${messageOf(error)}`] };
  }
  return loadConfig({ text, env, set: flags.set, setFile: flags.setFile, readText, isReadable });
}

/** The same, for commands that have no warnings to give. Throws with every problem. */
export function requireConfiguration(flags: ConfigFlags, env: Parameters<typeof readConfiguration>[1]): Config {
  const loaded = readConfiguration(flags, env);
  if (!loaded.ok) throw new Error(loaded.problems.join('\n'));
  return loaded.config;
}
