import { BundleError } from '../error.ts';
import type { Content } from '../unpack.ts';

/** What a look at a source found. `tag` names the version, for the next look. */
export type Fetched = (
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'new'; readonly content: Content; readonly tag: string }
) & {
  /** The source answers when there is something new, so that it may be asked again at once. */
  readonly waits?: boolean;
};

/**
 * A place where a bundle is. `tag` is that of the version which is active; with `mayWait` the answer may take as long as
 * the source was configured to wait for something new. Rejects when there is none to be had.
 */
export type BundleSource = (tag: string | undefined, signal: AbortSignal, mayWait?: boolean) => Promise<Fetched>;

/** A source as it is configured. */
export type OpenSource = {
  readonly look: BundleSource;
  /** Tells of changes as they happen, where that can be known; returns what ends it. */
  readonly watch?: (onChange: () => void) => () => void;
  /** Looked at once also when nobody asks (OPA: `file://` with `trigger: manual`). */
  readonly looksAtStart?: boolean;
};

/** A place could not be asked, or gave no bundle. */
export class SourceError extends BundleError {
  /** HTTP status of the answer. */
  readonly status: number | undefined;
  /** How long the server wants to be left alone, ms. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, told: { readonly status?: number; readonly retryAfterMs?: number | undefined } = {}) {
    super(message);
    this.status = told.status;
    this.retryAfterMs = told.retryAfterMs;
  }
}
