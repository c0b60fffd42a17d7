import { type KeyObject, verify } from 'node:crypto';
import { messageOf } from '../lib/message.ts';
import { jwsParameters, readPublicKey } from '../lib/public-key.ts';
import type { Json, JsonObject } from '../model/json.ts';
import { depthOf, isObject, parseExact } from '../values/json.ts';
import { hasDuplicateKeys } from '../values/unique-keys.ts';
import { BundleError } from './error.ts';
import type { Verification, VerificationKey } from './verification.ts';

export const SIGNATURES = '.signatures.json';

/** A file of the bundle as the signature has it; `hash` in lower-case hex. */
export type SignedFile = { readonly name: string; readonly hash: string; readonly algorithm: string };

/** What was signed: https://www.openpolicyagent.org/docs/management-bundles#signature-format */
export type Statement = {
  readonly keyId: string;
  readonly files: readonly SignedFile[];
  /** Seconds since the epoch. */
  readonly issuedAt: number | undefined;
  readonly issuer: string | undefined;
};

/** For 10,000 files with long names. */
const MAX_BYTES = 33_554_432;
const MAX_DEPTH = 32;
/** Clock skew tolerated in `iat`, `nbf` and `exp`, s. */
const LEEWAY_S = 60;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * The content of `.signatures.json`, once the key has been found, the signature over it verified, its scope compared and
 * its times looked at, in this order. `iat`, `nbf` and `exp` need not be there. Throws BundleError.
 */
export function verifySignatures(content: Buffer, verification: Verification, nowMs: number): Statement {
  const token = tokenIn(content);
  const [header = '', payload = '', signature = ''] = token.split('.');
  const head = readPart(header, 'header');
  const keyId = keyIdOf(head, payload, verification);
  const key = Object.hasOwn(verification.keys, keyId) ? verification.keys[keyId] : undefined;
  if (key === undefined) throw new BundleError(`${SIGNATURES}: there is no key ${keyId} in \`keys\``);
  requireAlgorithm(head, key, keyId);
  const { digest, options } = jwsParameters(key.algorithm);
  const signer = { key: publicKeyOf(key, keyId), ...options };
  const isGood = verify(digest, Buffer.from(`${header}.${payload}`), signer, Buffer.from(signature, 'base64url'));
  if (!isGood) throw new BundleError(`${SIGNATURES}: the signature is not by the key ${keyId}`);
  return statementOf(readPart(payload, 'payload'), keyId, verification.scope || key.scope, nowMs);
}

/** OPA takes exactly one signature, and so do we: with several, one could vouch for what another does not. */
export function tokenIn(content: Buffer): string {
  if (content.length > MAX_BYTES) throw new BundleError(`${SIGNATURES} has more than ${MAX_BYTES} bytes`);
  const { signatures, plugin } = parseObject(content, SIGNATURES);
  if (plugin !== undefined && plugin !== '' && plugin !== '_default') {
    throw new BundleError(`${SIGNATURES}: signatures of a plugin are not supported`);
  }
  const [token, ...others] = Array.isArray(signatures) ? (signatures as readonly Json[]) : [];
  if (typeof token !== 'string') throw new BundleError(`${SIGNATURES}: there is no signature in it`);
  if (others.length > 0) throw new BundleError(`${SIGNATURES}: more than one signature`);
  if (!/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/.test(token)) {
    throw new BundleError(`${SIGNATURES}: the signature is no signed JWT`);
  }
  return token;
}

export const readPart = (part: string, name: string): JsonObject =>
  parseObject(Buffer.from(part, 'base64url'), `${SIGNATURES}: the signature's ${name}`);

/** A JSON object whose keys are unique: two readers must not see two statements. */
function parseObject(content: Buffer, what: string): JsonObject {
  let value: Json;
  try {
    const text = utf8.decode(content);
    if (depthOf(text) > MAX_DEPTH) throw new Error('nested too deep');
    value = parseExact(text);
    if (hasDuplicateKeys(text)) throw new Error('a key twice');
  } catch {
    throw new BundleError(`${what} is no JSON object with unique keys`);
  }
  if (!isObject(value)) throw new BundleError(`${what} is no JSON object`);
  return value;
}

/** In OPA's order: the configured one, the header's, and that of the payload, which is its older place. */
function keyIdOf(header: JsonObject, payload: string, { keyId }: Verification): string {
  const found = keyId || text(header, 'kid') || text(readPart(payload, 'payload'), 'keyid');
  if (found === undefined || found === '') {
    throw new BundleError(`${SIGNATURES}: the signature names no key, and \`signing.keyid\` is not set`);
  }
  return found;
}

export function text(object: JsonObject, key: string): string | undefined {
  const value = object[key];
  if (value !== undefined && typeof value !== 'string') throw new BundleError(`${SIGNATURES}: ${key} is not a string`);
  return value;
}

/** The key says which algorithm; a signature that says something else was made for another key, or to be mistaken. */
function requireAlgorithm(header: JsonObject, key: VerificationKey, keyId: string): void {
  if (header['crit'] !== undefined || header['b64'] !== undefined) {
    throw new BundleError(`${SIGNATURES}: the signature has extensions (RFC 7515 section 4.1.11)`);
  }
  if (header['alg'] !== key.algorithm) {
    throw new BundleError(`${SIGNATURES}: the signature's algorithm is not ${key.algorithm}, that of the key ${keyId}`);
  }
}

function publicKeyOf({ pem, algorithm }: VerificationKey, keyId: string): KeyObject {
  try {
    return readPublicKey(pem, algorithm);
  } catch (error) {
    throw new BundleError(`keys.${keyId}.key: ${messageOf(error)}`);
  }
}

function statementOf(payload: JsonObject, keyId: string, scope: string, nowMs: number): Statement {
  const found = text(payload, 'scope') ?? '';
  if (found !== scope) {
    throw new BundleError(`${SIGNATURES}: the signature's scope is "${found}", and "${scope}" is expected`);
  }
  const [issuedAt, notBefore, expires] = ['iat', 'nbf', 'exp'].map((claim) => secondsOf(payload, claim));
  const nowS = nowMs / 1000;
  // One from the future would keep later ones out as older.
  if (issuedAt !== undefined && issuedAt > nowS + LEEWAY_S) {
    throw new BundleError(`${SIGNATURES}: the signature was issued in the future (iat)`);
  }
  if (notBefore !== undefined && notBefore > nowS + LEEWAY_S) {
    throw new BundleError(`${SIGNATURES}: the signature is not valid yet (nbf)`);
  }
  if (expires !== undefined && expires <= nowS - LEEWAY_S) {
    throw new BundleError(`${SIGNATURES}: the signature has expired (exp)`);
  }
  return { keyId, files: filesOf(payload['files']), issuedAt, issuer: text(payload, 'iss') };
}

export function secondsOf(payload: JsonObject, claim: string): number | undefined {
  const value = payload[claim];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new BundleError(`${SIGNATURES}: ${claim} is no whole number of seconds`);
}

function filesOf(files: Json | undefined): readonly SignedFile[] {
  if (!Array.isArray(files)) throw new BundleError(`${SIGNATURES}: the signature lists no files`);
  return (files as readonly Json[]).map((file) => {
    const { name, hash, algorithm } = isObject(file) ? file : {};
    if (typeof name !== 'string' || typeof hash !== 'string' || typeof algorithm !== 'string') {
      throw new BundleError(`${SIGNATURES}: a file without name, hash or algorithm`);
    }
    return { name, hash: hash.toLowerCase(), algorithm };
  });
}
