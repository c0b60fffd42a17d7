import { execFileSync } from 'node:child_process';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files of a certificate and its key, PEM. */
export type Pair = { readonly cert: string; readonly key: string };

const openssl = (...args: readonly string[]): unknown => execFileSync('openssl', args, { stdio: 'pipe' });
const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

const pairIn = (folder: string, name: string): Pair => ({
  cert: join(folder, `${name}.pem`),
  key: join(folder, `${name}.key`),
});

/** A certificate that vouches for itself; as an authority unless told otherwise. */
export function selfSigned(folder: string, name: string, extensions: readonly string[] = []): Pair {
  const { cert, key } = pairIn(folder, name);
  const more = extensions.flatMap((extension) => ['-addext', extension]);
  openssl('req', '-x509', ...curve, '-subj', `/CN=${name}`, '-days', '90', ...more, '-keyout', key, '-out', cert);
  return { cert, key };
}

export type IssueOptions = {
  readonly san?: string;
  readonly days?: number;
  /** Extended key usage. */
  readonly usage?: string;
  readonly keyUsage?: string;
  readonly constraints?: string;
};

/** A certificate of an authority, for servers and clients. `san` in openssl's spelling, `URI:spiffe://…,DNS:…`. */
export function issue(authority: Pair, folder: string, name: string, options: IssueOptions = {}): Pair {
  const { san = 'DNS:localhost,IP:127.0.0.1', days = 60, usage = 'serverAuth,clientAuth' } = options;
  const { keyUsage = 'digitalSignature', constraints = 'CA:FALSE' } = options;
  const { cert, key } = pairIn(folder, name);
  const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)];
  // A section of its own, so that a name may hold commas.
  const named = san.includes('\n') ? `@names\n[names]\n${san}` : san;
  writeFileSync(
    extensions,
    [
      `basicConstraints=critical,${constraints}`,
      ...(keyUsage === '' ? [] : [`keyUsage=critical,${keyUsage}`]),
      ...(usage === '' ? [] : [`extendedKeyUsage=${usage}`]),
      ...(san === '' ? [] : [`subjectAltName=${named}`]),
      '',
    ].join('\n'),
  );
  openssl('req', '-new', ...curve, '-subj', `/CN=${name}`, '-keyout', key, '-out', request);
  const signer = ['-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial'];
  openssl('x509', '-req', '-in', request, ...signer, '-days', String(days), '-extfile', extensions, '-out', cert);
  return { cert, key };
}

/** Puts one pair into the files of another, key last. */
export function install(from: Pair, into: Pair): void {
  copyFileSync(from.cert, into.cert);
  copyFileSync(from.key, into.key);
}
