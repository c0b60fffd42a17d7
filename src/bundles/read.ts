import type { JsonObject } from '../model/json.ts';
import { parseExact, stringify } from '../values/json.ts';
import type { Bundle } from './bundle.ts';
import { applyDelta } from './delta.ts';
import { mergeBundles } from './merge.ts';
import { openBundle } from './open.ts';
import { originOf } from './origin.ts';
import { tarOf } from './pack.ts';
import type { Read, ReadBundle, ReadTask } from './reader.ts';
import { refuseRollback, signedVersionOf } from './rollback.ts';
import { filesOf } from './unpack.ts';

/** Verifies and reads a bundle, and merges its data with the others'. Rejects with BundleError or ArchiveError. */
export async function readAndMerge(task: ReadTask): Promise<Read> {
  const { content, maxBytes, name, verification, nowMs, current, others } = task;
  const opened = openBundle(await filesOf(content, maxBytes), verification, nowMs);
  const signed = signedVersionOf(opened);
  const before = current?.signed ?? task.signedBefore;
  if (!task.allowRollback) refuseRollback(before, signed);
  const bundle = opened.kind === 'delta' ? applyDelta(withData(current), opened.delta) : opened.bundle;
  const archive = 'archive' in content ? content.archive : tarOf(content.files);
  const read: ReadBundle = {
    ...bundle,
    modules: bundle.modules.map((module) => ({ ...module, wasm: sharedCopy(module.wasm) })),
    data: sharedText(bundle.data),
    signed: signed ?? before,
    origin: originOf(archive, opened.kind === 'delta' ? current?.origin : undefined),
  };
  const common = {
    kind: opened.kind,
    bundle: read,
    packed: task.packs === true && 'files' in content ? sharedCopy(archive) : undefined,
  };
  if (others === undefined) return { ...common, merged: undefined };
  const all = new Map([...others].map(([other, { roots, data }]) => [other, { roots, data: parsed(data) }]));
  const merged = mergeBundles(all.set(name, bundle));
  return { ...common, merged: others.size === 0 ? read.data : sharedText(merged) };
}

const withData = (bundle: ReadBundle | undefined): Bundle | undefined =>
  bundle === undefined ? undefined : { ...bundle, data: parsed(bundle.data) };

const parsed = (text: Uint8Array): JsonObject => parseExact(Buffer.from(text).toString()) as JsonObject;

const sharedText = (data: JsonObject): Uint8Array => sharedCopy(Buffer.from(stringify(data)));

function sharedCopy(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}
