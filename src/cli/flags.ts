import { type Command, Option } from 'commander';

export const collect = (value: string, earlier: readonly string[]): readonly string[] => [...earlier, value];

export const withConfigFlags = (command: Command): Command =>
  command
    .option('-c, --config-file <file>', "configuration, OPA's YAML")
    .option('--set <key=value>', 'override one option', collect, [])
    .option('--set-file <key=path>', "override one option with a file's content", collect, []);

/** How to tell what there is to read. */
export type Format = 'text' | 'json';

export const formatOption = (): Option => new Option('--format <format>').choices(['text', 'json']).default('text');

/** `Name: value` as name and value. Throws without quoting the value. */
export function headerOf(text: string): readonly [string, string] {
  const colon = text.indexOf(':');
  if (colon <= 0) throw new Error("--header: 'Name: value' is expected");
  return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()];
}
