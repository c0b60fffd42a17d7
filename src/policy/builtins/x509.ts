import { isNumber, toBigInt } from '../../values/number.ts';
import { isArray, RegoObject, RegoSet, type Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError } from './builtin.ts';
import { objectAt, stringAt } from './operands.ts';
import { parseCertificates } from './x509/certificate.ts';
import { malformed } from './x509/der.ts';
import type { Certificate } from './x509/model.ts';
import {
  belongTogether,
  type PrivateKey,
  pkcs1Key,
  pkcs8Key,
  privateKeyValue,
  sec1Key,
  webKeyValue,
} from './x509/private-key.ts';
import { requestValue } from './x509/request.ts';
import { checkEncoded, decodeBase64, nextPem, type PemBlock } from './x509/text.ts';
import { certificateValue, certificateWithUris, USAGE_OIDS } from './x509/value.ts';
import { SERVER_USAGE, verifiedChain } from './x509/verify.ts';

/*
 * Certificates, requests for them and private keys.
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/crypto
 */

const ARMOR = '-----BEGIN';

/** The bytes that base64 stands for. Throws BuiltinError. */
function bytesFrom(text: string): Buffer {
  const bytes = decodeBase64(text);
  if (bytes === undefined) throw malformed('base64');
  return bytes;
}

/** PEM, as it is or in base64, as text; anything else as the bytes that it stands for. Throws BuiltinError. */
function unwrapped(text: string, armor: string): string | Buffer {
  if (text.startsWith(armor)) return text;
  const bytes = bytesFrom(text);
  const inner = bytes.toString('latin1');
  return inner.startsWith(armor) ? inner : bytes;
}

function* pemBlocks(text: string): Generator<PemBlock> {
  for (let found = nextPem(text); found !== undefined; found = nextPem(text, found.next)) yield found.block;
}

/** Certificates in PEM, in base64 of PEM or in base64 of DER. Throws BuiltinError, HaltError. */
function certificatesFrom(ctx: BuiltinContext, text: string): readonly Certificate[] {
  const input = unwrapped(checkEncoded(text), ARMOR);
  if (typeof input !== 'string') return parseCertificates(input, ctx.checkDeadline);
  const parts: Buffer[] = [];
  for (const { type, bytes } of pemBlocks(input)) {
    if (type !== 'CERTIFICATE')
      throw new BuiltinError(`PEM block type is '${type.slice(0, 100)}', expected CERTIFICATE`);
    parts.push(bytes);
  }
  return parseCertificates(Buffer.concat(parts), ctx.checkDeadline);
}

type GivenOptions = { readonly host: string; readonly timeNs: bigint | undefined; readonly usages: readonly string[] };

const NO_OPTIONS: GivenOptions = { host: '', timeNs: undefined, usages: [] };

const withoutQuotes = (text: string): string => text.replace(/^"+/, '').replace(/"+$/, '');

const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

function int64Option(name: string, value: Value): bigint {
  const integer = isNumber(value) ? toBigInt(value) : undefined;
  if (integer === undefined || integer < INT64.min || integer > INT64.max) {
    throw new BuiltinError(`'${name}' should be a valid int64 number`);
  }
  return integer;
}

function usagesOption(value: Value): readonly string[] {
  if (!isArray(value) && !(value instanceof RegoSet)) throw new BuiltinError("'KeyUsages' should be an Array or Set");
  const names = [...value].filter((member) => typeof member === 'string').map(withoutQuotes);
  return names.map((name) => {
    const oid = USAGE_OIDS.get(name);
    if (oid === undefined) throw new BuiltinError(`invalid entries for 'KeyUsages' found: [${name.slice(0, 100)}]`);
    return oid;
  });
}

/** Keys that are no strings are passed over. Throws BuiltinError. */
function optionsFrom(given: RegoObject): GivenOptions {
  let options = NO_OPTIONS;
  for (const [name, value] of given) {
    if (typeof name !== 'string') continue;
    if (name === 'DNSName') {
      if (typeof value !== 'string') throw new BuiltinError("'DNSName' should be a string");
      options = { ...options, host: withoutQuotes(value) };
    } else if (name === 'CurrentTime') {
      options = { ...options, timeNs: int64Option(name, value) };
    } else if (name === 'KeyUsages') {
      options = { ...options, usages: usagesOption(value) };
    } else if (name === 'MaxConstraintComparisons') {
      // Constraints take no more than linear time here, so that there is nothing to limit.
      int64Option(name, value);
    } else {
      throw new BuiltinError('invalid key option');
    }
  }
  return options;
}

const UNVERIFIED: Value = [false, []];

/** `[true, chain]` from the leaf to the root, or `[false, []]`. */
function verify(
  ctx: BuiltinContext,
  text: string,
  readOptions: () => GivenOptions,
  toValue: (certificate: Certificate) => Value,
): Value {
  let certificates: readonly Certificate[];
  try {
    certificates = certificatesFrom(ctx, text);
  } catch (cause) {
    if (cause instanceof BuiltinError) return UNVERIFIED;
    throw cause;
  }
  const { host, timeNs, usages } = readOptions();
  const chain = verifiedChain(certificates, {
    host,
    timeNs: timeNs ?? ctx.nowNs,
    usages: usages.length === 0 ? [SERVER_USAGE] : usages,
    checkDeadline: ctx.checkDeadline,
  });
  return chain === undefined ? UNVERIFIED : [true, chain.map(toValue)];
}

const REQUEST = 'CERTIFICATE REQUEST';

function parseRequest(text: string): Value {
  const isArmored = checkEncoded(text).startsWith(`-----BEGIN ${REQUEST}-----`);
  const bytes = isArmored ? Buffer.from(text) : bytesFrom(text);
  const block = nextPem(bytes.toString('latin1'))?.block;
  if (block !== undefined && block.type !== REQUEST) {
    throw new BuiltinError('invalid PEM-encoded certificate signing request');
  }
  return requestValue(block?.bytes ?? bytes);
}

const KEY_READERS: ReadonlyMap<string, (der: Buffer) => PrivateKey> = new Map([
  ['RSA PRIVATE KEY', pkcs1Key],
  ['PRIVATE KEY', pkcs8Key],
  ['EC PRIVATE KEY', sec1Key],
]);

/** Private keys in PEM or in base64 of PEM. Blocks of other types are passed over. Throws BuiltinError. */
function privateKeysFrom(ctx: BuiltinContext, text: string): readonly PrivateKey[] {
  const pem = decodeBase64(checkEncoded(text))?.toString('latin1') ?? text;
  const keys: PrivateKey[] = [];
  for (const { type, bytes } of pemBlocks(pem)) {
    ctx.checkDeadline();
    const read = KEY_READERS.get(type);
    if (read !== undefined) keys.push(read(bytes));
  }
  return keys;
}

/** The first key as a JSON Web Key; null when there is none. */
function parseRsaPrivateKey(ctx: BuiltinContext, text: string): Value {
  if (text === '') throw new BuiltinError('input PEM data was empty');
  const pem = text.startsWith(ARMOR) ? text : bytesFrom(checkEncoded(text)).toString('latin1');
  const [key] = privateKeysFrom(ctx, pem);
  return key === undefined ? null : webKeyValue(key);
}

/** The key in whichever of its forms the bytes are. Throws BuiltinError. */
function anyPrivateKey(der: Buffer): PrivateKey {
  for (const read of [pkcs1Key, pkcs8Key, sec1Key]) {
    try {
      return read(der);
    } catch (cause) {
      if (!(cause instanceof BuiltinError)) throw cause;
    }
  }
  throw malformed('private key');
}

/** What text has in blocks of fitting types; bytes that are no PEM are one such block. Throws BuiltinError, HaltError. */
function blocksOf(text: string, fits: (type: string) => boolean): readonly Buffer[] {
  const input = unwrapped(checkEncoded(text), `${ARMOR} `);
  if (typeof input !== 'string') return [input];
  return [...pemBlocks(input)].filter(({ type }) => fits(type)).map(({ bytes }) => bytes);
}

/** A certificate and its private key, as Go's tls.Certificate. Throws BuiltinError unless they belong together. */
function parseKeyPair(ctx: BuiltinContext, certificateText: string, keyText: string): Value {
  const chain = blocksOf(certificateText, (type) => type === 'CERTIFICATE');
  const [secret] = blocksOf(keyText, (type) => type === 'PRIVATE KEY' || type.endsWith(' PRIVATE KEY'));
  const [first] = chain;
  if (first === undefined || secret === undefined) throw new BuiltinError('no certificate, or no private key');
  const [leaf, ...others] = parseCertificates(first, ctx.checkDeadline);
  if (leaf === undefined || others.length > 0) throw malformed('certificate');
  const key = anyPrivateKey(secret);
  if (!belongTogether(key, leaf.subjectKey.key))
    throw new BuiltinError('the private key is not that of the certificate');
  return RegoObject.from({
    Certificate: chain.map((bytes) => bytes.toString('base64')),
    PrivateKey: privateKeyValue(key),
    SupportedSignatureAlgorithms: null,
    OCSPStaple: null,
    SignedCertificateTimestamps: null,
    Leaf: certificateValue(leaf),
  });
}

const VERIFY = 'crypto.x509.parse_and_verify_certificates';

export const x509Builtins: readonly Builtin[] = [
  {
    name: 'crypto.x509.parse_certificates',
    arity: 1,
    run: (ctx, text) => certificatesFrom(ctx, stringAt(1, text)).map(certificateWithUris),
  },
  {
    name: VERIFY,
    arity: 1,
    run: (ctx, text) => verify(ctx, stringAt(1, text), () => NO_OPTIONS, certificateWithUris),
  },
  {
    name: `${VERIFY}_with_options`,
    arity: 2,
    run: (ctx, text, given) => {
      const options = objectAt(2, given);
      return verify(ctx, stringAt(1, text), () => optionsFrom(options), certificateValue);
    },
  },
  {
    name: 'crypto.x509.parse_certificate_request',
    arity: 1,
    run: (_ctx, text) => parseRequest(stringAt(1, text)),
  },
  {
    name: 'crypto.x509.parse_keypair',
    arity: 2,
    run: (ctx, certificate, key) => parseKeyPair(ctx, stringAt(1, certificate), stringAt(2, key)),
  },
  {
    name: 'crypto.x509.parse_rsa_private_key',
    arity: 1,
    run: (ctx, text) => parseRsaPrivateKey(ctx, stringAt(1, text)),
  },
  {
    name: 'crypto.parse_private_keys',
    arity: 1,
    run: (ctx, given) => {
      const text = stringAt(1, given);
      return text === '' ? null : privateKeysFrom(ctx, text).map(privateKeyValue);
    },
  },
];
