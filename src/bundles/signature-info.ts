import { BundleError } from './error.ts';
import { readPart, SIGNATURES, secondsOf, text, tokenIn } from './signature.ts';

/** What a signature says about itself. */
export type SignatureInfo = {
  readonly keyId: string | undefined;
  readonly algorithm: string;
  /** Seconds since the epoch. */
  readonly issuedAt: number | undefined;
  readonly issuer: string | undefined;
  readonly scope: string | undefined;
  /** How many files it lists. */
  readonly files: number;
};

/** Reads what stands in `.signatures.json` and believes all of it: to be shown, not to be relied on. Throws BundleError. */
export function readSignatureInfo(content: Buffer): SignatureInfo {
  const [header = '', payload = ''] = tokenIn(content).split('.');
  const head = readPart(header, 'header');
  const claims = readPart(payload, 'payload');
  const algorithm = text(head, 'alg');
  const { files } = claims;
  if (algorithm === undefined) throw new BundleError(`${SIGNATURES}: the signature names no algorithm`);
  if (!Array.isArray(files)) throw new BundleError(`${SIGNATURES}: the signature lists no files`);
  return {
    // The claim is where OPA had it before it used the header.
    keyId: text(head, 'kid') ?? text(claims, 'keyid'),
    algorithm,
    issuedAt: secondsOf(claims, 'iat'),
    issuer: text(claims, 'iss'),
    scope: text(claims, 'scope'),
    files: files.length,
  };
}
