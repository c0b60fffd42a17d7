import type { TlsConfig } from '../config/schema.ts';
import { watchCertificates } from '../lib/certificates.ts';
import type { Clock } from '../lib/clock.ts';
import type { Part } from '../lib/lifecycle.ts';
import { messageOf } from '../lib/message.ts';
import { createServerTls, type ServerTls, type TlsRefusal, type TlsRules, tryCertificates } from '../lib/tls-server.ts';
import type { Certificates } from '../lib/watched-certificates.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type CertificateSource, svidSource } from './svid.ts';

export type Tls = {
  /** Gets the certificates; to be started before whoever listens. */
  readonly part: Part;
  /** Of the listeners; undefined where there is no TLS. */
  readonly extAuthz: () => ServerTls | undefined;
  readonly api: () => ServerTls | undefined;
};

type Reports = { readonly log: Logger; readonly metrics: Metrics; readonly clock: Clock };

const DAY_MS = 86_400_000;
const WARNING_DAYS = 30;
/** Anybody who can connect can be refused; the log must not be theirs to fill. */
const REFUSALS_LOGGED_EVERY_MS = 10_000;
const MAX_CAUSE = 200;

const none: Tls = {
  part: { name: 'TLS' },
  extAuthz: () => undefined,
  api: () => undefined,
};

/** TLS as configured: certificates that follow their files, for the listeners that have it. */
export const createTls = (config: TlsConfig | undefined, reports: Reports): Tls =>
  config === undefined ? none : createConfiguredTls(config, reports);

function createConfiguredTls(config: TlsConfig, reports: Reports): Tls {
  const { log, metrics, clock } = reports;
  const source = config.workload_api === undefined ? fileSource(config) : svidSource(config, config.workload_api, log);
  const rules: TlsRules = { minVersion: config.min_version, allowedClientSans: config.allowed_client_sans };
  const listeners: { [name in 'ext_authz' | 'api']?: ServerTls } = {};
  const warnOfExpiry = createExpiryWarning(source, reports);
  let lastFailure: string | undefined;
  const failed = (error: unknown): void => {
    metrics.tlsReloadFailed();
    const cause = messageOf(error);
    if (cause !== lastFailure) log.error({ cause }, 'TLS certificates not reloaded; the ones before keep serving');
    lastFailure = cause;
  };
  const watched = source.watch({
    nowMs: clock.wallMs,
    verify: (certificates) => {
      try {
        tryCertificates(certificates, rules);
      } catch (error) {
        throw new Error(`${source.name}: OpenSSL does not take it: ${messageOf(error)}`);
      }
    },
    onChange: ({ expiresMs }) => {
      for (const listener of Object.values(listeners)) listener.refresh();
      metrics.tlsExpires(expiresMs);
      log.info({ source: source.name, expires: new Date(expiresMs).toISOString() }, 'TLS certificates loaded');
    },
    onFailure: failed,
    onLook: (current, hasFailed) => {
      if (!hasFailed) lastFailure = undefined;
      warnOfExpiry(current);
    },
  });
  const listenerTls = (listener: 'ext_authz' | 'api'): ServerTls =>
    createServerTls({
      ...{ rules, judge: source.judge, current: watched.current },
      onRefused: createRefusalReport(listener, reports),
    });
  return {
    part: {
      name: 'TLS',
      start: async () => {
        await watched.start();
        listeners.ext_authz = listenerTls('ext_authz');
        if (config.api) listeners.api = listenerTls('api');
      },
      stop: watched.stop,
      reload: () => {
        // Whoever asks for it wants to hear again what is wrong.
        lastFailure = undefined;
        return watched.reload();
      },
    },
    extAuthz: () => listeners.ext_authz,
    api: () => listeners.api,
  };
}

/** Files of whoever renews them: a month should do, and is enough to be told once a day. */
function fileSource(config: TlsConfig): CertificateSource {
  const { cert = '', key = '', client_ca: clientCa, reload_seconds: seconds } = config;
  return {
    name: cert,
    watch: (reports) => watchCertificates({ ...reports, files: { cert, key, clientCa }, everyMs: seconds * 1000 }),
    isLate: (remainingMs) => remainingMs < WARNING_DAYS * DAY_MS,
    remindMs: DAY_MS,
  };
}

/** Now and then, when the certificate ends soon. */
function createExpiryWarning(
  { name, isLate, remindMs }: CertificateSource,
  { log, clock }: Reports,
): (current: Certificates) => void {
  let warnedMs = Number.NEGATIVE_INFINITY;
  return ({ startsMs, expiresMs }) => {
    const remainingMs = expiresMs - clock.wallMs();
    if (!isLate(remainingMs, expiresMs - startsMs) || clock.monotonicMs() - warnedMs < remindMs) return;
    warnedMs = clock.monotonicMs();
    const fields = {
      ...{ source: name, expires: new Date(expiresMs).toISOString() },
      days_left: Math.floor(remainingMs / DAY_MS),
    };
    log.warn(fields, remainingMs > 0 ? 'the TLS certificate expires soon' : 'the TLS certificate has expired');
  };
}

function createRefusalReport(
  listener: 'ext_authz' | 'api',
  { log, metrics, clock }: Reports,
): (reason: TlsRefusal, cause: string) => void {
  let loggedMs = Number.NEGATIVE_INFINITY;
  return (reason, cause) => {
    metrics.tlsRefused(listener, reason);
    if (clock.monotonicMs() - loggedMs < REFUSALS_LOGGED_EVERY_MS) return;
    loggedMs = clock.monotonicMs();
    log.warn({ listener, reason, cause: cause.slice(0, MAX_CAUSE) }, 'a TLS connection was refused');
  };
}
