import { accessSync, constants, readFileSync } from 'node:fs';
import type { Tree } from '../config/discovery.ts';
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { messageOf } from '../lib/message.ts';

export type ConfigFlags = {
  readonly configFile?: string;
  readonly set: readonly string[];
  readonly setFile: readonly string[];
};

type Env = { readonly [name: string]: string | undefined };

/** The configuration that the flags name, or every problem with it. */
export const readConfiguration = (flags: ConfigFlags, env: Env): LoadedConfig => openConfiguration(flags, env)();

/** The same, with what is discovered later on under it; files are read once. */
export function openConfiguration(flags: ConfigFlags, env: Env): (discovered?: Tree) => LoadedConfig {
  const texts = new Map<string, string>();
  const readText = (file: string): string => {
    const text = texts.get(file) ?? readFileSync(file, 'utf8');
    texts.set(file, text);
    return text;
  };
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
    const problems = [`--config-file: ${messageOf(error)}`];
    return () => ({ ok: false, problems });
  }
  return (discovered) =>
    loadConfig({ text, env, set: flags.set, setFile: flags.setFile, readText, isReadable, discovered });
}

/** The same, for commands that have no warnings to give. Throws with every problem. */
export function requireConfiguration(flags: ConfigFlags, env: Parameters<typeof readConfiguration>[1]): Config {
  const loaded = readConfiguration(flags, env);
  if (!loaded.ok) throw new Error(loaded.problems.join('\n'));
  return loaded.config;
}
