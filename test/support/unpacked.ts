import type { BundleSource } from '../../src/bundles/sources/source.ts';
import { type BundleFiles, filesOf } from '../../src/bundles/unpack.ts';

export type Unpacked =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'new'; readonly tag: string; readonly files: BundleFiles };

/** A source whose bundles are unpacked at once. */
export const unpacked =
  (source: BundleSource, maxBytes: number) =>
  async (tag: string | undefined, signal: AbortSignal): Promise<Unpacked> => {
    const fetched = await source(tag, signal);
    if (fetched.kind === 'unchanged') return fetched;
    return { kind: 'new', tag: fetched.tag, files: await filesOf(fetched.content, maxBytes) };
  };
