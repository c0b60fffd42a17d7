import { hash } from 'node:crypto';

/** Where a version of a bundle comes from. Digests are SHA-256 in hex. */
export type Origin = {
  /** Of the version: that of its archive; with deltas that of all they were applied to, in their order. */
  readonly digest: string;
  /** Of the archive that it came in. */
  readonly archive: string;
  /** The version that it is a delta to. */
  readonly base: string | undefined;
};

/** `base`: what a delta changes. */
export function originOf(archive: Uint8Array, base: Origin | undefined): Origin {
  const own = hash('sha256', archive);
  if (base === undefined) return { digest: own, archive: own, base: undefined };
  return { digest: hash('sha256', `${base.digest} ${own}`), archive: own, base: base.digest };
}
