import type { Content } from '../unpack.ts';

/** What a look at a source found. `tag` names the version, for the next look. */
export type Fetched =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'new'; readonly content: Content; readonly tag: string };

/** A place where a bundle is. `tag` is that of the version which is active; rejects when there is none to be had. */
export type BundleSource = (tag: string | undefined, signal: AbortSignal) => Promise<Fetched>;
