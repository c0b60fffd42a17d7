import {
  type CertificateReports,
  type Certificates,
  holdCertificates,
  type WatchedCertificates,
} from '../../lib/watched-certificates.ts';
import { openStream } from './stream.ts';
import { readX509Response, type X509Context } from './x509-svid.ts';

export type SvidWatch = CertificateReports & {
  readonly socket: string;
  /** Which SVID to take; the first one when undefined. */
  readonly spiffeId: string | undefined;
  /** Trust domains beside our own whose workloads may be clients. */
  readonly trustDomains: readonly string[];
  readonly startTimeoutMs: number;
  readonly random: () => number;
  /** Still none, at the start. */
  readonly onWaiting: (cause: string) => void;
};

/** A server's certificate that is its X509-SVID, as the Workload API has it. */
export type SvidCertificates = WatchedCertificates & {
  /** What the certificates were made from. Throws before the start. */
  readonly context: () => X509Context;
};

/** How often it is looked whether the SVID still lasts while nothing comes. */
const LOOK_MS = 30_000;

export function watchSvid(watch: SvidWatch): SvidCertificates {
  const held = holdCertificates(watch);
  let context: X509Context | undefined;
  let cause = 'no answer';
  let failed = false;
  let started = (): void => {};
  let hangUp = (): void => {};
  let timer: NodeJS.Timeout | undefined;

  const look = (): void => {
    const current = held.latest();
    if (current !== undefined) watch.onLook(current, failed);
  };
  const take = (message: Buffer): void => {
    const { spiffeId, trustDomains } = watch;
    const next = readX509Response(message, { spiffeId, trustDomains, nowMs: watch.nowMs() });
    if (next.digest !== context?.digest) {
      const before = context;
      try {
        // First: the listeners that get the certificates judge clients by it.
        context = next;
        held.take(certificatesOf(next));
      } catch (error) {
        context = before;
        throw error;
      }
    }
    failed = false;
    started();
    look();
  };
  const fail = (text: string): void => {
    cause = text;
    failed = true;
    if (held.latest() === undefined) watch.onWaiting(text);
    else watch.onFailure(new Error(`Workload API at ${watch.socket}: ${text}`));
    look();
  };
  const stop = (): void => {
    clearInterval(timer);
    hangUp();
  };

  return {
    start: async () => {
      const first = new Promise<boolean>((resolve) => {
        // Keeps the process alive: nothing listens yet.
        const waiting = setTimeout(() => resolve(false), watch.startTimeoutMs);
        started = () => {
          clearTimeout(waiting);
          resolve(true);
        };
      });
      hangUp = openStream({
        ...{ socket: watch.socket, method: 'FetchX509SVID', random: watch.random },
        ...{ onMessage: take, onFailure: fail },
      });
      timer = setInterval(look, LOOK_MS);
      timer.unref();
      if (await first) return;
      stop();
      throw new Error(
        `no X509-SVID from the Workload API at ${watch.socket} within ${watch.startTimeoutMs / 1000} s (${cause}); ` +
          'is the agent running, may this process open the socket, and does a registration entry match it?',
      );
    },
    current: held.current,
    context: () => {
      if (context === undefined) throw new Error('the SVID was asked for before there was one');
      return context;
    },
    // The agent tells by itself.
    reload: () => Promise.resolve(),
    stop,
  };
}

const certificatesOf = ({ chain, key, bundles, startsMs, expiresMs, digest }: X509Context): Certificates => ({
  cert: chain.map(String).join(''),
  key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  ca: [...bundles.values()].flat().map(String),
  startsMs,
  expiresMs,
  digest,
});
