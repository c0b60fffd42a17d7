import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createLooks } from './looks.ts';
import { messageOf } from './message.ts';
import { readLimited } from './read-limited.ts';
import {
  type CertificateReports,
  type Certificates,
  holdCertificates,
  type WatchedCertificates,
} from './watched-certificates.ts';

export type CertificateFiles = {
  /** PEM: the server's certificate, and after it the intermediate ones. */
  readonly cert: string;
  /** PEM: its private key, encrypted only when there is a passphrase. */
  readonly key: string;
  readonly passphrase?: string | undefined;
  /** PEM: the authorities that client certificates are verified against. */
  readonly clientCa: string | undefined;
};

/** Large bundles of public authorities have about 250 KiB. */
const MAX_FILE_BYTES = 1_048_576;

/**
 * Reads and checks a server's certificate, its key and the clients' authorities. Rejects with an error that names the
 * file and what is wrong with it.
 */
export async function readCertificates(files: CertificateFiles, nowMs: number): Promise<Certificates> {
  return check(files, await readFiles(files), nowMs);
}

/** PEM of each authority in a file. Rejects with an error that names the file and what is wrong with it. */
export const readAuthorities = async (file: string): Promise<readonly string[]> =>
  certificatesIn(file, await readText(file)).map(String);

type Texts = { readonly cert: string; readonly key: string; readonly ca: string | undefined; readonly digest: string };

async function readFiles(files: CertificateFiles): Promise<Texts> {
  const cert = await readText(files.cert);
  const key = await readText(files.key);
  const ca = files.clientCa === undefined ? undefined : await readText(files.clientCa);
  return { cert, key, ca, digest: digestOf([cert, key, ca ?? '']) };
}

function check(files: CertificateFiles, texts: Texts, nowMs: number): Certificates {
  const chain = certificatesIn(files.cert, texts.cert);
  const key = privateKeyIn(files.key, texts.key, files.passphrase);
  const [leaf] = chain;
  if (leaf === undefined) throw new Error(`${files.cert}: there is no certificate in it`);
  if (!leaf.checkPrivateKey(key)) {
    throw new Error(`${files.key}: the key does not belong to the certificate in ${files.cert}`);
  }
  const [startsMs, expiresMs] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
  // Written so that a date that cannot be read is refused, too.
  if (!(startsMs <= nowMs)) throw new Error(`${files.cert}: the certificate is not valid before ${leaf.validFrom}`);
  if (!(nowMs < expiresMs)) throw new Error(`${files.cert}: the certificate has expired on ${leaf.validTo}`);
  return {
    // Written anew, so that what was checked is what is served.
    cert: chain.map(String).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    ca: texts.ca === undefined ? undefined : certificatesIn(files.clientCa ?? '', texts.ca).map(String),
    startsMs,
    expiresMs,
    digest: texts.digest,
  };
}

async function readText(file: string): Promise<string> {
  try {
    return (await readLimited(file, MAX_FILE_BYTES)).toString('latin1');
  } catch (error) {
    const message = messageOf(error);
    throw new Error(message.includes(file) ? message : `${file}: ${message}`);
  }
}

function digestOf(texts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(`${text.length}:`).update(text);
  return hash.digest('hex');
}

const countOf = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;

/** RFC 7468: each block has both of its lines, or somebody is still writing the file. */
function refuseHalves(file: string, text: string): void {
  if (countOf(text, /^-----BEGIN /gm) !== countOf(text, /^-----END [^-\n]+-----/gm)) {
    throw new Error(`${file}: it ends, or is broken, in the middle of a PEM block`);
  }
}

function certificatesIn(file: string, text: string): readonly X509Certificate[] {
  refuseHalves(file, text);
  const blocks = text.match(/^-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/gm) ?? [];
  if (blocks.length === 0) throw new Error(`${file}: there is no certificate in it (PEM is expected)`);
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new Error(`${file}: certificate ${i + 1} cannot be read: ${messageOf(error)}`);
    }
  });
}

function privateKeyIn(file: string, text: string, passphrase: string | undefined): KeyObject {
  refuseHalves(file, text);
  if (text.includes('ENCRYPTED') && passphrase === undefined) {
    throw new Error(`${file}: the key is encrypted; it must be without a passphrase`);
  }
  if (!text.includes('PRIVATE KEY-----')) throw new Error(`${file}: there is no private key in it (PEM is expected)`);
  try {
    return createPrivateKey({ key: text, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch (error) {
    throw new Error(`${file}: the key cannot be read: ${messageOf(error)}`);
  }
}

export type CertificateWatch = CertificateReports & {
  readonly files: CertificateFiles;
  /** How often the files are looked at, ms. */
  readonly everyMs: number;
};

/**
 * Certificates that follow their files. Their content is compared rather than their times, which tell nothing of a file
 * that is replaced within a clock's tick or through a symbolic link. A change is taken when two looks saw the same.
 */
export function watchCertificates(watch: CertificateWatch): WatchedCertificates {
  const held = holdCertificates(watch);
  let seen: string | undefined;

  const take = (texts: Texts): void => held.take(check(watch.files, texts, watch.nowMs()));
  /** Tells whether the files have just changed, so that they should be looked at again soon. */
  const look = async (settled: boolean): Promise<boolean> => {
    const before = seen;
    let unsettled = false;
    let failed = false;
    try {
      const texts = await readFiles(watch.files);
      seen = texts.digest;
      unsettled = !settled && seen !== before;
      if (!unsettled && seen !== held.latest()?.digest) take(texts);
    } catch (error) {
      failed = true;
      watch.onFailure(error);
    }
    const current = held.latest();
    if (current !== undefined) watch.onLook(current, failed);
    return unsettled;
  };
  const looks = createLooks(look, watch.everyMs);

  return {
    start: async () => {
      const texts = await readFiles(watch.files);
      seen = texts.digest;
      take(texts);
      watch.onLook(held.current(), false);
      looks.start();
    },
    current: held.current,
    reload: async () => {
      await looks.now();
    },
    stop: looks.stop,
  };
}
