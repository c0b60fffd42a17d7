import { hash } from 'node:crypto';
import { type Change, diffDigests, diffJson, diffNames } from '../../bundles/diff.ts';
import { regoOf } from '../../bundles/originals.ts';
import type { BundleDiff, DataChange, DiffBundles, SignatureReport } from '../../cli/bundle/ports.ts';
import { messageOf } from '../../lib/message.ts';
import type { Json, JsonObject } from '../../model/json.ts';
import { inspectModule } from '../../policy/admission.ts';
import { stringify } from '../../values/json.ts';
import { contentAt, openFiles, unpacked } from './open-file.ts';

type Names = { readonly [list in 'roots' | 'entrypoints' | 'builtins' | 'network']: readonly string[] };
/** Digests by name. */
type Files = { readonly [files in 'modules' | 'sources']: ReadonlyMap<string, string> };
type Documents = { readonly [document in 'data' | 'metadata']: JsonObject };

/** What is compared of a bundle. */
type Side = Names & Files & Documents & { readonly revision: string; readonly signature: SignatureReport | undefined };

/** Most that a module may start with to be looked at, bytes; whether it can serve is another question. */
const MEMORY_BYTES = 1_073_741_824;
/** Of a path or a value that is shown. */
const MAX_LENGTH = 1000;

export const diffBundles: DiffBundles = async (before, after, options) => {
  const [left, right] = [await sideOf(before), await sideOf(after)];
  const names = (list: keyof Names): BundleDiff['roots'] => diffNames(left[list], right[list]);
  const files = (each: keyof Files): BundleDiff['modules'] => diffDigests(left[each], right[each]);
  const found = {
    revision: changeOf(left.revision, right.revision),
    ...{ roots: names('roots'), entrypoints: names('entrypoints') },
    ...{ modules: files('modules'), sources: files('sources') },
    ...{ builtins: names('builtins'), network: names('network') },
    data: diffData(left.data, right.data, options),
    metadata: countOf(diffData(left.metadata, right.metadata, { values: false, limit: 0 })) > 0,
    signature: changeOf(left.signature, right.signature),
  };
  return { differ: isAnything(found), ...found };
};

async function sideOf(file: string): Promise<Side> {
  try {
    const files = await unpacked(await contentAt(file));
    const { bundle, signature } = openFiles(files, undefined);
    const { revision, roots, modules, data, metadata } = bundle;
    const reports = await Promise.all(modules.map((module) => inspectModule(module, MEMORY_BYTES)));
    const unreadable = reports.find(({ abi }) => abi === undefined);
    if (unreadable !== undefined) throw new Error(`${unreadable.path}: ${unreadable.problems.join('; ')}`);
    return {
      ...{ revision, roots, data, metadata, signature },
      // A module answers for all that it has, unless the manifest says for what.
      entrypoints: modules.flatMap(({ entrypoints }, i) =>
        entrypoints.length > 0 ? entrypoints : (reports[i]?.entrypoints ?? []),
      ),
      modules: new Map(modules.map(({ path, digest }) => [path, digest])),
      sources: new Map([...regoOf(files)].map(([name, bytes]) => [name, hash('sha256', bytes)])),
      builtins: reports.flatMap(({ builtins }) => builtins),
      network: reports.flatMap(({ waiting }) => waiting),
    };
  } catch (error) {
    throw new Error(`${file}: ${messageOf(error)}`);
  }
}

function changeOf<T>(before: T, after: T): { readonly before: T; readonly after: T } | undefined {
  return JSON.stringify(before) === JSON.stringify(after) ? undefined : { before, after };
}

function diffData(
  before: JsonObject,
  after: JsonObject,
  { values, limit }: { readonly values: boolean; readonly limit: number },
): BundleDiff['data'] {
  const counts = { added: 0, removed: 0, changed: 0 };
  const changes: DataChange[] = [];
  diffJson(before, after, (change) => {
    counts[change.kind]++;
    if (changes.length < limit) changes.push(shown(change, values));
  });
  return { ...counts, changes };
}

const shown = (change: Change, values: boolean): DataChange => ({
  kind: change.kind,
  path: cut(change.path),
  ...(values && change.kind !== 'added' ? { before: textOf(change.before) } : {}),
  ...(values && change.kind !== 'removed' ? { after: textOf(change.after) } : {}),
});

const textOf = (value: Json): string => cut(stringify(value));
const cut = (text: string): string => (text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text);

const countOf = ({ added, removed, changed }: BundleDiff['data']): number => added + removed + changed;

const isAnything = ({ revision, signature, metadata, data, ...lists }: Omit<BundleDiff, 'differ'>): boolean =>
  revision !== undefined ||
  signature !== undefined ||
  metadata ||
  countOf(data) > 0 ||
  Object.values(lists).some((part) => Object.values(part).some((list) => list.length > 0));
