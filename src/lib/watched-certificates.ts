/** A server's certificate and whom it believes, checked as far as that is possible without a peer. */
export type Certificates = {
  /** PEM: the server's certificate, and after it the intermediate ones. */
  readonly cert: string;
  /** PEM: its private key, not encrypted. */
  readonly key: string;
  /** PEM, one each: the authorities that client certificates are verified against. */
  readonly ca: readonly string[] | undefined;
  /** Validity of the server's certificate, ms since the epoch. */
  readonly startsMs: number;
  readonly expiresMs: number;
  /** Of everything that they were made from. */
  readonly digest: string;
};

/** What whoever follows the source of certificates tells of it. */
export type CertificateReports = {
  readonly nowMs: () => number;
  /** Throws when the certificates cannot be used after all. */
  readonly verify: (certificates: Certificates) => void;
  /** New certificates, the first ones included. */
  readonly onChange: (certificates: Certificates) => void;
  /** What the source has cannot be used, or it cannot be asked; what was there before stays. */
  readonly onFailure: (error: unknown) => void;
  /** After each look at the source. */
  readonly onLook: (current: Certificates, failed: boolean) => void;
};

/** Certificates that follow their source: files (certificates.ts) or the SPIFFE Workload API. */
export type WatchedCertificates = {
  /** Gets the first ones. Rejects when there are none that can be used. */
  readonly start: () => Promise<void>;
  /** Throws before the start. */
  readonly current: () => Certificates;
  /** Looks at the source now, if it does not tell by itself. Never rejects. */
  readonly reload: () => Promise<void>;
  readonly stop: () => void;
};

type Holder = {
  readonly latest: () => Certificates | undefined;
  readonly current: () => Certificates;
  /** Throws when they cannot be used; the ones before stay. */
  readonly take: (certificates: Certificates) => void;
};

/** The certificates of now; others take their place only if they can be used everywhere. */
export function holdCertificates({ verify, onChange }: CertificateReports): Holder {
  let current: Certificates | undefined;
  return {
    latest: () => current,
    current: () => {
      if (current === undefined) throw new Error('certificates were asked for before they were read');
      return current;
    },
    take: (certificates) => {
      verify(certificates);
      const before = current;
      try {
        current = certificates;
        onChange(certificates);
      } catch (error) {
        // So that the next look tries again.
        current = before;
        throw error;
      }
    },
  };
}
