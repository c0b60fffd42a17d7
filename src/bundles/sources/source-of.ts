import { fileURLToPath } from 'node:url';
import type { BundleConfig, S3Config } from '../../config/schema.ts';
import type { Clock } from '../../lib/clock.ts';
import { withoutSlashes } from '../../lib/without-slashes.ts';
import { BundleError } from '../error.ts';
import { createFileSource } from './file.ts';
import { createHttpSource } from './http.ts';
import { createOciSource } from './oci.ts';
import { createS3Source } from './s3.ts';
import type { Services } from './services.ts';
import type { OpenSource } from './source.ts';
import { watchPath } from './watch.ts';

export type SourceParts = {
  readonly services: Services;
  readonly s3: S3Config;
  readonly env: { readonly [name: string]: string | undefined };
  readonly clock: Clock;
};

/** The source that a bundle's configuration means. Throws BundleError. */
export function sourceOf(name: string, bundle: BundleConfig, parts: SourceParts): OpenSource {
  const { services, clock, s3, env } = parts;
  const { resource = `bundles/${name}`, size_limit_bytes: maxBytes } = bundle;
  if (resource.startsWith('file://')) return fileSource(pathOf(resource), maxBytes);
  if (resource.startsWith('s3://')) return { look: createS3Source(resource, s3) };
  const isAbsolute = /^https?:\/\//.test(resource);
  const service = bundle.service ?? (isAbsolute ? undefined : services.names[0]);
  const config = service === undefined ? undefined : services.configOf(service);
  if (!isAbsolute && config === undefined) throw new BundleError(`${name}: no service`);
  if (service !== undefined && config?.type === 'oci') {
    const { transport, credentials } = services.connectionOf(service);
    return { look: createOciSource(resource, config, { env, credentials, dispatcherFor: transport.to }) };
  }
  const url = isAbsolute ? resource : `${config?.url.replace(/\/+$/, '')}/${withoutSlashes(resource)}`;
  const { long_polling_timeout_seconds: wait = 0, superseded_etag_ttl_seconds: ttl } = bundle.polling;
  return {
    look: createHttpSource(services.clientOf(service), url, {
      longPollMs: wait * 1000,
      supersededTtlMs: ttl * 1000,
      clock,
    }),
  };
}

const fileSource = (path: string, maxBytes: number): OpenSource => ({
  look: createFileSource(path, maxBytes),
  watch: (onChange) => watchPath(path, onChange),
  looksAtStart: true,
});

/** A file URL without escapes as people write it, `file:///path/with spaces` or `file://relative`, is taken as it is. */
const pathOf = (resource: string): string =>
  /^file:\/\/\/.*%[0-9a-fA-F]{2}/.test(resource) ? fileURLToPath(resource) : resource.slice('file://'.length);
