import { isDigest } from '../../config/bundle-addresses.ts';
import { digestInTurns } from '../../lib/in-turns.ts';
import { BundleError } from '../error.ts';

/** The layer that OPA takes for a bundle (https://www.openpolicyagent.org/docs/management-bundles#oci-registry). */
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** What is asked for where a manifest is expected. */
export const MANIFEST_TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ');

/** What the specification wants registries to take at most, bytes. */
export const MAX_MANIFEST_BYTES = 4_194_304;

/** Content in a registry: its digest, which names it, its size in bytes, and what it is. */
export type Descriptor = { readonly digest: string; readonly size: number; readonly mediaType: string };

/** A manifest with a bundle, or an index of manifests. */
export type Manifest =
  | { readonly kind: 'image'; readonly bundle: Descriptor | undefined; readonly layers: readonly string[] }
  | { readonly kind: 'index'; readonly manifests: readonly Descriptor[] };

type Tree = { readonly [key: string]: unknown };
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads a manifest (OCI image-spec, or Docker's). Throws BundleError. */
export function readManifest(bytes: Buffer): Manifest {
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new BundleError('the manifest is not JSON');
  }
  const { layers, manifests } = isTree(parsed) ? parsed : {};
  // CVE-2021-41190: whoever looks at the one would sign for something else than whoever looks at the other.
  if (layers !== undefined && manifests !== undefined) throw new BundleError('the manifest is an index as well');
  if (Array.isArray(layers)) {
    const descriptors = layers.map(descriptorOf);
    const bundle = descriptors.find(({ mediaType }) => mediaType === LAYER);
    return { kind: 'image', bundle, layers: descriptors.map(({ mediaType }) => mediaType) };
  }
  if (Array.isArray(manifests)) {
    return { kind: 'index', manifests: manifests.filter((entry) => !isAttestation(entry)).map(descriptorOf) };
  }
  throw new BundleError('the manifest has neither layers nor manifests');
}

function descriptorOf(value: unknown): Descriptor {
  const { digest, size, mediaType } = isTree(value) ? value : {};
  if (typeof digest !== 'string' || !isDigest(digest))
    throw new BundleError('the manifest names content without a digest');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new BundleError('the manifest names content without a size');
  }
  return { digest, size, mediaType: typeof mediaType === 'string' ? mediaType : '' };
}

/** Builders attach provenance under an unknown platform; a bundle is never there. */
function isAttestation(entry: unknown): boolean {
  const platform = isTree(entry) && isTree(entry['platform']) ? entry['platform'] : {};
  return platform['os'] === 'unknown' && platform['architecture'] === 'unknown';
}

/** Digest of content, with the algorithm of the one that is expected. */
export async function digestOf(bytes: Buffer, expected: string | undefined): Promise<string> {
  const algorithm = expected?.startsWith('sha512:') ? 'sha512' : 'sha256';
  return `${algorithm}:${await digestInTurns(bytes, algorithm)}`;
}

export const missingLayer = (types: readonly string[]): BundleError =>
  new BundleError(`the image has no layer of type ${LAYER}; it has ${namesOf(types) || 'none'}`);

const namesOf = (types: readonly string[]): string =>
  [...new Set(types)]
    .filter((type) => /^[\w.+/-]{1,127}$/.test(type))
    .slice(0, 5)
    .join(', ');
