import type { TransferLimits } from '../../src/bundles/sources/service-client.ts';
import { createServices } from '../../src/bundles/sources/services.ts';
import type { BundleSource } from '../../src/bundles/sources/source.ts';
import { sourceOf } from '../../src/bundles/sources/source-of.ts';
import type { BundleStore } from '../../src/bundles/store.ts';
import type { BundleConfig, ServiceConfig, SigningKeyConfig } from '../../src/config/schema.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Scope } from './scope.ts';

const LIMIT = 1_000_000;

/** A service as a configuration without anything else has it. */
export const serviceConfig = (over: Partial<ServiceConfig> = {}): ServiceConfig => ({
  url: 'http://127.0.0.1',
  headers: {},
  response_header_timeout_seconds: 10,
  allow_insecure_tls: false,
  ...over,
});

/** How S3 is reached where nothing is said about it. */
export const noS3 = { force_path_style: false };

/** A store for who keeps nothing. */
export const nowhere: BundleStore = {
  load: async () => undefined,
  save: async () => {},
  confirm: async () => {},
};

/** A bundle that is polled from `minSeconds` to `maxSeconds`. */
export const bundleConfig = (
  over: Omit<Partial<BundleConfig>, 'polling'> & { readonly polling?: Partial<BundleConfig['polling']> } = {},
): BundleConfig => ({
  size_limit_bytes: LIMIT,
  trigger: 'periodic',
  persist: false,
  ...over,
  polling: { min_delay_seconds: 0.01, max_delay_seconds: 0.02, superseded_etag_ttl_seconds: 0, ...over.polling },
});

export type Given = {
  readonly service?: Partial<ServiceConfig>;
  readonly bundle?: Parameters<typeof bundleConfig>[0];
  readonly keys?: { readonly [name: string]: SigningKeyConfig };
  readonly env?: { readonly [name: string]: string | undefined };
  readonly limits?: TransferLimits;
  readonly warn?: (fields: object, message: string) => void;
};

/** The source of a bundle at `url`, as a configuration would make it; its connections end with the scope. */
export function httpSource(scope: Scope, url: string, given: Given = {}): BundleSource {
  const services = createServices({
    services: { ci: serviceConfig({ url, ...given.service }) },
    keys: given.keys ?? {},
    env: given.env ?? {},
    clock: systemClock,
    log: { warn: given.warn ?? (() => {}) },
    limits: given.limits,
  });
  scope.after(services.close);
  const parts = { services, s3: noS3, env: given.env ?? {}, clock: systemClock };
  return sourceOf('main', bundleConfig(given.bundle), parts).look;
}
