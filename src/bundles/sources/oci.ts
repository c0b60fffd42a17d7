import { isDigest, type OciReference, parseOciReference } from '../../config/bundle-addresses.ts';
import type { ServiceConfig } from '../../config/schema.ts';
import { messageOf } from '../../lib/message.ts';
import { BundleError } from '../error.ts';
import {
  type Descriptor,
  digestOf,
  MANIFEST_TYPES,
  MAX_MANIFEST_BYTES,
  missingLayer,
  readManifest,
} from '../oci/manifest.ts';
import { type Credentials, createRegistry, type DispatcherFor, type Registry } from '../oci/registry.ts';
import { bundleLimits } from '../unpack.ts';
import type { Env } from './credentials/aws-keys.ts';
import { createOciCredentials } from './credentials/oci.ts';
import type { BundleSource, Fetched } from './source.ts';

const DOWNLOAD_MS = 60_000;
/** As deep as OPA goes, and no more manifests than somebody makes on purpose. */
const MAX_DEPTH = 4;
const MAX_MANIFESTS = 32;

export type OciParts = {
  readonly env: Env;
  /** For services with other credentials than `bearer` and `s3_signing`. */
  readonly credentials?: Credentials;
  /** Connections as the service has them. */
  readonly dispatcherFor?: DispatcherFor;
};

/**
 * A bundle in an OCI registry: the first layer of OPA's type, in the image that a tag or a digest names. As OPA has it,
 * the registry is the one of the service, whatever the reference begins with. A version's tag is the digest of its
 * manifest; whatever is downloaded must have the digest by which it is named. Throws BundleError.
 */
export function createOciSource(resource: string, service: ServiceConfig, parts: OciParts): BundleSource {
  const image = parseOciReference(resource);
  if (image === undefined) {
    throw new BundleError(`${resource}: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST is expected`);
  }
  const registry = createRegistry({
    url: service.url,
    credentials: createOciCredentials(service, parts.env, parts.credentials ?? (async () => ({}))),
    headers: service.headers,
    headersMs: service.response_header_timeout_seconds * 1000,
    dispatcherFor: parts.dispatcherFor,
  });
  return async (tag, signal) => {
    try {
      return await look(registry, image, tag, AbortSignal.any([signal, AbortSignal.timeout(DOWNLOAD_MS)]));
    } catch (error) {
      throw new BundleError(`${resource}: ${messageOf(error)}`);
    }
  };
}

async function look(
  registry: Registry,
  image: OciReference,
  tag: string | undefined,
  signal: AbortSignal,
): Promise<Fetched> {
  const announced = image.digest ?? (await digestOfTag(registry, image, signal));
  if (announced !== undefined && announced === tag) return { kind: 'unchanged' };
  const { digest, body } = await manifest(registry, image.repository, announced ?? image.reference, announced, signal);
  if (digest === tag) return { kind: 'unchanged' };
  const layer = await bundleLayer(registry, image.repository, { digest, body }, signal);
  return { kind: 'new', tag: digest, content: { archive: await blob(registry, image.repository, layer, signal) } };
}

/** What the registry says that the tag names; undefined when it does not say. */
async function digestOfTag(registry: Registry, image: OciReference, signal: AbortSignal): Promise<string | undefined> {
  const { repository, reference } = image;
  const path = `${repository}/manifests/${reference}`;
  const { status, digest } = await registry(
    { method: 'HEAD', path, repository, accept: MANIFEST_TYPES, maxBytes: 0 },
    signal,
  );
  if (status === 404) throw missingImage();
  return status === 200 && digest !== undefined && isDigest(digest) ? digest : undefined;
}

type Found = { readonly digest: string; readonly body: Buffer };

async function manifest(
  registry: Registry,
  repository: string,
  reference: string,
  expected: string | undefined,
  signal: AbortSignal,
): Promise<Found> {
  const path = `${repository}/manifests/${reference}`;
  const { status, body } = await registry(
    { method: 'GET', path, repository, accept: MANIFEST_TYPES, maxBytes: MAX_MANIFEST_BYTES },
    signal,
  );
  if (status !== 200) throw missingImage();
  const digest = await digestOf(body, expected);
  if (expected !== undefined && digest !== expected) throw new BundleError('the manifest is not what its digest says');
  return { digest, body };
}

/** The layer with the bundle, in the manifest or in the first one of an index that has such a layer. */
async function bundleLayer(
  registry: Registry,
  repository: string,
  top: Found,
  signal: AbortSignal,
): Promise<Descriptor> {
  const seen = new Set([top.digest]);
  const types: string[] = [];

  async function find(body: Buffer, depth: number): Promise<Descriptor | undefined> {
    const read = readManifest(body);
    if (read.kind === 'image') {
      types.push(...read.layers);
      return read.bundle;
    }
    if (depth >= MAX_DEPTH) throw new BundleError(`the index is more than ${MAX_DEPTH} levels deep`);
    for (const { digest } of read.manifests) {
      if (seen.has(digest)) continue;
      if (seen.add(digest).size > MAX_MANIFESTS)
        throw new BundleError(`the index has more than ${MAX_MANIFESTS} manifests`);
      const inner = await manifest(registry, repository, digest, digest, signal);
      const layer = await find(inner.body, depth + 1);
      if (layer !== undefined) return layer;
    }
    return undefined;
  }

  const layer = await find(top.body, 0);
  if (layer === undefined) throw missingLayer(types);
  return layer;
}

async function blob(
  registry: Registry,
  repository: string,
  { digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<Buffer> {
  if (size > bundleLimits.packed) throw new BundleError(`the bundle has more than ${bundleLimits.packed} bytes`);
  const path = `${repository}/blobs/${digest}`;
  const { status, body } = await registry({ method: 'GET', path, repository, accept: '*/*', maxBytes: size }, signal);
  if (status !== 200) throw new BundleError(`the registry does not have the layer that the manifest names (${status})`);
  if ((await digestOf(body, digest)) !== digest) throw new BundleError('the bundle is not what its digest says');
  return body;
}

const missingImage = (): BundleError =>
  new BundleError('there is no such image; check the repository and the tag, and that the credentials may see it');
