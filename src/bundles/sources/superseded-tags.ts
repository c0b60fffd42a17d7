/** OPA's bound, so that the header cannot grow. */
const MAX_TAGS = 8;

export type SupersededTags = {
  /** The tags to send: the active version's, and after it the replaced ones', newest first. */
  readonly tagsWith: (active: string) => readonly string[];
  /** A version with tag `next` has come in the place of the one with tag `tag`. */
  readonly replaced: (tag: string, next: string) => void;
};

/**
 * Tags of replaced versions, remembered for a time: a server that is asked with them too does not bring one back that lags
 * behind (https://www.openpolicyagent.org/docs/management-bundles#caching). A version counts as replaced when the next one
 * is active, which the tag of the next question shows.
 */
export function createSupersededTags(ttlMs: number, nowMs: () => number): SupersededTags {
  let coming: { readonly tag: string; readonly next: string; readonly atMs: number } | undefined;
  let past: readonly { readonly tag: string; readonly atMs: number }[] = [];

  return {
    tagsWith: (active) => {
      if (coming?.next === active) {
        const { tag, atMs } = coming;
        past = [{ tag, atMs }, ...past.filter((other) => other.tag !== tag)];
        coming = undefined;
      }
      past = past.filter(({ tag, atMs }) => tag !== active && nowMs() - atMs < ttlMs).slice(0, MAX_TAGS);
      return [active, ...past.map(({ tag }) => tag)];
    },
    replaced: (tag, next) => {
      coming = ttlMs > 0 && tag !== next ? { tag, next, atMs: nowMs() } : undefined;
    },
  };
}
