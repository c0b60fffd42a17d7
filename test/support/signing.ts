import { execFileSync } from 'node:child_process';
import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BundleFiles } from '../../src/bundles/unpack.ts';
import type { Verification } from '../../src/bundles/verification.ts';
import type { SignatureAlgorithm } from '../../src/lib/public-key.ts';
import { bundleOf } from './archive.ts';
import { tool } from './process.ts';

export type KeyPair = { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
export type Files = { readonly [name: string]: string | Buffer };

const known = new Map<string, KeyPair>();

/** A key pair for an algorithm; those of one kind are the same as long as `name` is. */
export function keyPairFor(algorithm: SignatureAlgorithm, name = 'a'): KeyPair {
  const kind = algorithm.startsWith('ES') || algorithm === 'EdDSA' ? algorithm : 'RSA';
  const pair = known.get(`${kind} ${name}`) ?? generate(kind);
  known.set(`${kind} ${name}`, pair);
  return pair;
}

function generate(kind: string): KeyPair {
  if (kind === 'RSA') return generateKeyPairSync('rsa', { modulusLength: 2048 });
  if (kind === 'EdDSA') return generateKeyPairSync('ed25519');
  const namedCurve = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[kind] ?? '';
  return generateKeyPairSync('ec', { namedCurve });
}

export const publicPem = ({ publicKey }: KeyPair): string => String(publicKey.export({ type: 'spki', format: 'pem' }));
export const privatePem = ({ privateKey }: KeyPair): string =>
  String(privateKey.export({ type: 'pkcs8', format: 'pem' }));

/** A verification with one key, called `k`. */
export const verificationWith = (algorithm: SignatureAlgorithm, over: Partial<Verification> = {}): Verification => ({
  keys: { k: { pem: publicPem(keyPairFor(algorithm)), algorithm, scope: '' } },
  required: true,
  keyId: 'k',
  scope: '',
  excludeFiles: [],
  allowUnsignedDeltas: false,
  ...over,
});

export const asFiles = (files: Files): BundleFiles =>
  new Map(Object.entries(files).map(([name, content]) => [name, Buffer.from(content)]));

export const asArchive = (files: Files): Buffer =>
  bundleOf(
    Object.entries(files).map(([name, content]) => ({
      // Headers are written byte by byte.
      name: Buffer.from(name).toString('latin1'),
      content: Buffer.from(content),
    })),
  );

export function writeFiles(folder: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

const opa = (args: readonly string[], cwd: string): Buffer => execFileSync(tool('opa'), args, { stdio: 'pipe', cwd });

/** `opa sign` of a bundle that is written to `folder`; returns it with its signature. */
export function signWithOpa(folder: string, files: Files, algorithm: SignatureAlgorithm, claims?: object): Files {
  const bundle = join(folder, 'bundle');
  mkdirSync(bundle);
  writeFiles(bundle, files);
  writeFileSync(join(folder, 'key.pem'), privatePem(keyPairFor(algorithm)));
  const args = ['sign', '-b', '.', '--signing-alg', algorithm, '--signing-key', '../key.pem', '-o', '..'];
  if (claims !== undefined) {
    writeFileSync(join(folder, 'claims.json'), JSON.stringify(claims));
    args.push('--claims-file', '../claims.json');
  }
  opa(args, bundle);
  return { ...files, '.signatures.json': readFileSync(join(folder, '.signatures.json')) };
}

/** The payload of a bundle's signature. */
export function payloadOf(files: Files): { readonly files: readonly object[]; readonly [claim: string]: unknown } {
  const { signatures } = JSON.parse(String(files['.signatures.json'])) as { readonly signatures: readonly string[] };
  return JSON.parse(Buffer.from(signatures[0]?.split('.')[1] ?? '', 'base64url').toString()) as never;
}

const encoded = (part: object | string): string =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');

/** A JWS as whoever has the key may make it. */
export function jws(
  header: object | string,
  payload: object | string,
  algorithm: SignatureAlgorithm,
  { privateKey: key }: KeyPair = keyPairFor(algorithm),
): string {
  const signed = `${encoded(header)}.${encoded(payload)}`;
  const digest = algorithm === 'EdDSA' ? null : `sha${algorithm.slice(2)}`;
  const options = algorithm.startsWith('PS')
    ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : { key, dsaEncoding: 'ieee-p1363' as const };
  return `${signed}.${sign(digest, Buffer.from(signed), options).toString('base64url')}`;
}

export const signaturesOf = (...tokens: readonly string[]): string => JSON.stringify({ signatures: tokens });

export type OpaVerdict =
  | { readonly ok: true; readonly output: Buffer }
  | { readonly ok: false; readonly reason: string };

/** What OPA makes of a bundle whose key is called `k`: `opa build` verifies it, and merges its data. */
export function verdictOfOpa(
  folder: string,
  archive: Buffer,
  algorithm: SignatureAlgorithm,
  { scope, excludeFiles }: Pick<Verification, 'scope' | 'excludeFiles'>,
): OpaVerdict {
  writeFileSync(join(folder, 'verified.tar.gz'), archive);
  writeFileSync(join(folder, 'public.pem'), publicPem(keyPairFor(algorithm)));
  const args = ['build', '-b', 'verified.tar.gz', '-o', 'output.tar.gz', '--verification-key', 'public.pem'];
  args.push('--verification-key-id', 'k', '--signing-alg', algorithm, '--scope', scope);
  args.push(...excludeFiles.flatMap((pattern) => ['--exclude-files-verify', pattern]));
  try {
    opa(args, folder);
    return { ok: true, output: readFileSync(join(folder, 'output.tar.gz')) };
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout?: Buffer; readonly stderr?: Buffer };
    return { ok: false, reason: `${stdout}${stderr}` };
  }
}
