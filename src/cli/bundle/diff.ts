import type { Format } from '../flags.ts';
import type { Io } from '../ports.ts';
import { line, printable, rootsText, signatureText } from './describe.ts';
import type { BundleDiff, DataChange, DiffBundles, Files, Names } from './ports.ts';

export type DiffFlags = {
  readonly values?: true;
  readonly exitCode?: true;
  readonly limit: number;
  readonly format: Format;
};

/** `postern bundle diff`: what is different? Returns the exit code: 1 with `--exit-code` when something is. */
export async function diff(
  before: string,
  after: string,
  flags: DiffFlags,
  io: Io,
  diffBundles: DiffBundles,
): Promise<number> {
  const found = await diffBundles(before, after, { values: flags.values === true, limit: flags.limit });
  io.stdout.write(flags.format === 'json' ? `${JSON.stringify(found)}\n` : describeDiff(found));
  return found.differ && flags.exitCode === true ? 1 : 0;
}

function describeDiff(found: BundleDiff): string {
  if (!found.differ) return 'no difference\n';
  const { revision, roots, entrypoints, modules, sources, builtins, network, data, metadata, signature } = found;
  const isSame = Object.values(sources).every((list) => list.length === 0);
  return [
    ...(revision === undefined ? [] : [line('revision', change(revision.before || 'none', revision.after || 'none'))]),
    ...namesOf('roots', {
      added: [rootsText(roots.added)].filter(Boolean),
      removed: [rootsText(roots.removed)].filter(Boolean),
    }),
    ...namesOf('entrypoints', entrypoints),
    ...filesOf('module', modules, isSame ? ', of the same sources' : ''),
    ...filesOf('source', sources),
    ...namesOf('built-ins', builtins),
    ...namesOf('network', network),
    ...dataLines(data),
    ...(metadata ? [line('metadata', 'changed')] : []),
    ...(signature === undefined
      ? []
      : [line('signature', change(signatureText(signature.before), signatureText(signature.after)))]),
    '',
  ].join('\n');
}

const change = (before: string, after: string): string => `${before} → ${after}`;

const namesOf = (name: string, { added, removed }: Names): readonly string[] =>
  [...removed.map((each) => `- ${each}`), ...added.map((each) => `+ ${each}`)].map((each) => line(name, each));

const filesOf = (name: string, { added, removed, changed }: Files, note = ''): readonly string[] => [
  ...namesOf(name, { added, removed }),
  ...changed.map((each) => line(name, `~ ${each}${note}`)),
];

const marks = { added: '+', removed: '-', changed: '~' };

function dataLines({ added, removed, changed, changes }: BundleDiff['data']): readonly string[] {
  const total = added + removed + changed;
  if (total === 0) return [];
  const rest = total - changes.length;
  return [
    line('data', `${added} added, ${removed} removed, ${changed} changed`),
    ...changes.map((each) => `  ${marks[each.kind]} ${printable(each.path || '(everything)')}${valuesOf(each)}`),
    ...(rest === 0 ? [] : [`  … and ${rest} more`]),
  ];
}

function valuesOf({ before, after }: DataChange): string {
  if (before !== undefined && after !== undefined) return `: ${printable(before)} → ${printable(after)}`;
  const only = before ?? after;
  return only === undefined ? '' : `: ${printable(only)}`;
}
