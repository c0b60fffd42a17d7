import type { SignatureAlgorithm } from '../../lib/public-key.ts';
import type { Format } from '../flags.ts';
import type { Io } from '../ports.ts';
import { line, signatureText } from './describe.ts';
import type { SignBundle, VerifyBundle } from './ports.ts';

export type SignFlags = {
  readonly output: string;
  readonly key: string;
  readonly alg: SignatureAlgorithm;
  readonly keyId?: string;
  readonly scope?: string;
  readonly iss?: string;
  readonly format: Format;
};

/** `postern bundle sign`: the same bundle with a signature. Returns the exit code. */
export async function sign(bundle: string, flags: SignFlags, io: Io, signBundle: SignBundle): Promise<number> {
  const { output, key, alg: algorithm, keyId, scope, iss: issuer, format } = flags;
  const { signature, file } = await signBundle({ bundle, output, key, algorithm, keyId, scope, issuer });
  io.stdout.write(
    format === 'json'
      ? `${JSON.stringify({ output, ...file, signature })}\n`
      : `${line('signature', signatureText(signature))}\n${line('written', `${output}, ${file.bytes} bytes`)}\n${line('sha256', file.sha256)}\n`,
  );
  return 0;
}

export type VerifyFlags = {
  readonly key: string;
  readonly alg: SignatureAlgorithm;
  readonly keyId?: string;
  readonly scope: string;
  readonly excludeFiles: readonly string[];
  readonly format: Format;
};

/** `postern bundle verify`: is it signed with this key, and as it was then? Returns the exit code. */
export async function verify(bundle: string, flags: VerifyFlags, io: Io, verifyBundle: VerifyBundle): Promise<number> {
  const { key, alg: algorithm, keyId, scope, excludeFiles, format } = flags;
  const { revision, signature } = await verifyBundle({ bundle, key, algorithm, keyId, scope, excludeFiles });
  io.stdout.write(
    format === 'json'
      ? `${JSON.stringify({ revision, signature })}\n`
      : `${line('revision', revision)}\n${line('signature', signatureText(signature))}\n`,
  );
  return 0;
}
