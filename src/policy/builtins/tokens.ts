import type { KeyObject } from 'node:crypto';
import { dump } from '../../values/dump.ts';
import { compareNumbers, fromDouble, isNumber, number, type RegoNumber, toDouble } from '../../values/number.ts';
import { parseJson, ValueSyntaxError } from '../../values/parse.ts';
import { isArray, isRegoObject, RegoObject, type Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError } from './builtin.ts';
import { marshalJson } from './go-json.ts';
import { numberAt, objectAt, stringAt } from './operands.ts';
import { schemes, signatureOf, signingKey, type TokenKey, verificationKeys, verifies } from './tokens/signatures.ts';

/*
 * JSON Web Tokens in compact form. https://www.openpolicyagent.org/docs/policy-reference/builtins/tokens
 */

const MAX_TOKEN_CHARS = 65_536;
const MAX_NESTED_TOKENS = 10;
const BASE64URL = /^[A-Za-z0-9_-]*={0,2}$/;

type Sections = {
  /** Header and payload as they were signed. */
  readonly signed: string;
  readonly header: RegoObject;
  /** Of the payload, in base64url; read only once something is known of the signature. */
  readonly body: string;
  readonly signature: string;
};

function sectionsOf(token: string): Sections {
  if (token.length > MAX_TOKEN_CHARS) throw new BuiltinError('the token is too long');
  const [head, body, signature, ...more] = token.split('.', 4);
  if (head === undefined || body === undefined || signature === undefined || more.length > 0) {
    throw new BuiltinError('encoded JWT must have 3 sections');
  }
  const header = parseJson(decodeText(head));
  if (!isRegoObject(header) || header.has('enc')) throw new BuiltinError('not a signed token');
  return { signed: `${head}.${body}`, header, body, signature };
}

function decodeBytes(text: string): Buffer {
  if (!BASE64URL.test(text)) throw new ValueSyntaxError('not base64url', 0);
  return Buffer.from(text, 'base64url');
}

const decodeText = (text: string): string => decodeBytes(text).toString('utf8');

function payloadOf(text: string): RegoObject {
  const payload = parseJson(text);
  if (!isRegoObject(payload)) throw new BuiltinError('the payload is not an object');
  return payload;
}

/** A member of the header that has to be a string; empty when it is not there. */
function headerText(header: RegoObject, name: string): string {
  const value = header.get(name);
  if (value !== undefined && typeof value !== 'string') throw new BuiltinError(`${name}: must be a string`);
  return value ?? '';
}

/** [header, payload, signature in hex], nothing verified. A payload that is a token (`cty: JWT`) is decoded in its stead. */
function decodeToken(token: string): Value {
  let current = token;
  for (let nested = 0; nested < MAX_NESTED_TOKENS; nested++) {
    const { header, body, signature } = sectionsOf(current);
    const payload = decodeText(body);
    if (headerText(header, 'cty') !== 'JWT') {
      return [header, payloadOf(payload), decodeBytes(signature).toString('hex')];
    }
    current = payload.replace(/^["']+|["']+$/g, '');
  }
  throw new BuiltinError('nested too deep');
}

/** Keys as they were read before, for text that a policy passes on each call. */
function keysOf(ctx: BuiltinContext, text: string): readonly TokenKey[] {
  const cacheKey = `io.jwt.keys:${text}`;
  const known = ctx.cache.get(cacheKey) as readonly TokenKey[] | undefined;
  if (known !== undefined) return known;
  const keys = verificationKeys(text);
  ctx.cache.set(cacheKey, keys);
  return keys;
}

/**
 * Whether one of the keys verifies the signature with `alg`: the one with the token's `kid` if there is one, otherwise any
 * that is not for another algorithm than the header names.
 */
function verifiedBy(keys: readonly TokenKey[], alg: string, sections: Sections): boolean {
  const { header, signed } = sections;
  const signature = decodeBytes(sections.signature);
  const check = ({ key }: { key: KeyObject | Buffer }): boolean => verifies(alg, key, signed, signature);
  const kid = headerText(header, 'kid');
  const named = kid === '' ? undefined : keys.find((key) => key.kid === kid);
  if (named !== undefined) return check(named);
  const headerAlg = headerText(header, 'alg');
  return keys.some((key) => (key.alg === '' || key.alg === headerAlg) && check(key));
}

/** Bytes of a secret that policy text holds. */
const secretKeys = (secret: string): readonly TokenKey[] => [{ alg: '', kid: '', key: Buffer.from(secret) }];

/**
 * `verified` of this token and key, or what it was the last time: a signature that holds always will. One that does not is
 * worked out each time, so that nobody fills the cache with tokens of his own making.
 */
function onceVerified<T>(ctx: BuiltinContext, cacheKey: string, verified: () => T | undefined): T | undefined {
  const known = ctx.cache.get(cacheKey) as T | undefined;
  if (known !== undefined) return known;
  const result = verified();
  if (result !== undefined) ctx.cache.set(cacheKey, result);
  return result;
}

function verifyToken(ctx: BuiltinContext, alg: string, token: string, key: string): boolean {
  const verified = onceVerified(ctx, `io.jwt.verify:${alg} ${token} ${key}`, () => {
    const isSecret = alg.startsWith('HS');
    if (isSecret) {
      const { signed, signature } = sectionsOf(token);
      return secretKeys(key).some((one) => verifies(alg, one.key, signed, decodeBytes(signature))) || undefined;
    }
    return verifiedBy(keysOf(ctx, key), alg, sectionsOf(token)) || undefined;
  });
  return verified ?? false;
}

/** What io.jwt.decode_verify asks of a token; empty strings where it asks nothing. */
type Constraints = {
  readonly cert: string;
  readonly secret: string;
  readonly alg: string;
  readonly iss: string;
  readonly aud: string;
  /** Time to compare with, s since the epoch. */
  readonly seconds: RegoNumber;
};

const CONSTRAINTS = ['cert', 'secret', 'alg', 'iss', 'aud', 'time'];
const NS_PER_SECOND = 1_000_000_000;

function constraintsOf(ctx: BuiltinContext, given: RegoObject): Constraints {
  for (const [name] of given) {
    if (typeof name !== 'string' || !CONSTRAINTS.includes(name)) {
      throw new BuiltinError('unknown token validation constraint');
    }
  }
  const text = (name: string): string => {
    const value = given.get(name) ?? '';
    if (typeof value !== 'string') throw new BuiltinError(`${name} constraint: must be a string`);
    return value;
  };
  const time = toDouble(numberAt(2, given.get('time') ?? number(ctx.nowNs)));
  if (!(time >= 0 && Number.isFinite(time))) throw new BuiltinError('token time constraint: must not be negative');
  const cert = text('cert');
  const secret = text('secret');
  if (given.has('cert') && secret !== '') throw new BuiltinError('duplicate key constraints');
  if (!given.has('cert') && secret === '') throw new BuiltinError('no key constraint');
  return {
    cert,
    secret,
    alg: text('alg'),
    iss: text('iss'),
    aud: text('aud'),
    seconds: fromDouble(time / NS_PER_SECOND),
  };
}

type Verified = { readonly header: RegoObject; readonly payload: RegoObject };

/** Header and payload of the innermost token, when every signature on the way to it holds. */
function verifyNested(ctx: BuiltinContext, token: string, wanted: Constraints): Verified | undefined {
  const keys = wanted.secret === '' ? keysOf(ctx, wanted.cert) : secretKeys(wanted.secret);
  let current = token;
  for (let nested = 0; nested < MAX_NESTED_TOKENS; nested++) {
    const sections = sectionsOf(current);
    const { header } = sections;
    const alg = headerText(header, 'alg');
    headerText(header, 'typ');
    if (alg === '' || hasUnknownCritical(header) || (wanted.alg !== '' && wanted.alg !== alg)) return undefined;
    if (!verifiedBy(keys, alg, sections)) return undefined;
    const payload = decodeText(sections.body);
    if (headerText(header, 'cty').toUpperCase() !== 'JWT') return { header, payload: payloadOf(payload) };
    current = payload;
  }
  throw new BuiltinError('nested too deep');
}

const KNOWN_HEADERS = ['alg', 'kid', 'typ', 'cty', 'crit'];

/** RFC 7515 section 4.1.11: members of the header that must be understood. */
function hasUnknownCritical(header: RegoObject): boolean {
  const critical = header.get('crit');
  if (critical === undefined) return false;
  if (!isArray(critical) || critical.length === 0) throw new BuiltinError('crit: must be a nonempty list');
  return critical.some((name) => header.has(name) && !KNOWN_HEADERS.includes(String(name)));
}

const UNVERIFIED: Value = [false, new RegoObject(), new RegoObject()];

function decodeVerify(ctx: BuiltinContext, token: string, given: RegoObject): Value {
  const wanted = constraintsOf(ctx, given);
  const cacheKey = `io.jwt.decode_verify:${wanted.alg} ${token} ${wanted.secret === '' ? 'cert' : 'secret'} ${wanted.cert}${wanted.secret}`;
  const verified = onceVerified(ctx, cacheKey, () => verifyNested(ctx, token, wanted));
  if (verified === undefined || !claimsHold(verified.payload, wanted)) return UNVERIFIED;
  return [true, verified.header, verified.payload];
}

function claimsHold(payload: RegoObject, wanted: Constraints): boolean {
  const issuer = payload.get('iss');
  if (wanted.iss !== '') {
    if (issuer !== undefined && typeof issuer !== 'string') throw new BuiltinError('iss value must be a string');
    if (issuer !== wanted.iss) return false;
  }
  const audience = payload.get('aud');
  const forUs = isArray(audience) ? audience.includes(wanted.aud) : (audience ?? '') === wanted.aud;
  if (!forUs) return false;
  const expiry = timeClaim(payload, 'exp');
  if (expiry !== undefined && compareNumbers(wanted.seconds, expiry) >= 0) return false;
  const notBefore = timeClaim(payload, 'nbf');
  return notBefore === undefined || compareNumbers(wanted.seconds, notBefore) >= 0;
}

function timeClaim(payload: RegoObject, name: string): RegoNumber | undefined {
  const value = payload.get(name);
  if (value !== undefined && !isNumber(value)) throw new BuiltinError(`${name} value must be a number`);
  return value;
}

/** Some signatures are made with random numbers; within one evaluation, each is made once. */
function encodeSign(ctx: BuiltinContext, header: string, payload: string, key: string): Value {
  const memoKey = `io.jwt.encode_sign ${dump([header, payload, key])}`;
  const known = ctx.memo.get(memoKey);
  if (known !== undefined) return known;
  const token = signedToken(header, payload, key);
  ctx.memo.set(memoKey, token);
  return token;
}

function signedToken(header: string, payload: string, key: string): string {
  const parsed = parseJson(header);
  const alg = isRegoObject(parsed) ? parsed.get('alg') : undefined;
  if (!isRegoObject(parsed) || typeof alg !== 'string') throw new BuiltinError("missing or invalid 'alg' header");
  const typ = parsed.get('typ');
  // Throws when the payload of what calls itself a JWT is no JSON.
  if (typeof typ !== 'string' || typ === 'JWT') parseJson(payload);
  const signed = `${Buffer.from(header).toString('base64url')}.${Buffer.from(payload).toString('base64url')}`;
  return `${signed}.${signatureOf(alg, signingKey(key), signed).toString('base64url')}`;
}

const verifyBuiltin = (alg: string): Builtin => ({
  name: `io.jwt.verify_${alg.toLowerCase()}`,
  arity: 2,
  run: (ctx, token, key) => verifyToken(ctx, alg, stringAt(1, token), stringAt(2, key)),
});

export const jwtBuiltins: readonly Builtin[] = [
  ...[...schemes.keys()].map(verifyBuiltin),
  { name: 'io.jwt.decode', arity: 1, run: (_ctx, token) => decodeToken(stringAt(1, token)) },
  {
    name: 'io.jwt.decode_verify',
    arity: 2,
    run: (ctx, token, constraints) => decodeVerify(ctx, stringAt(1, token), objectAt(2, constraints)),
  },
  {
    name: 'io.jwt.encode_sign',
    arity: 3,
    run: (ctx, ...parts) => {
      const [header = '', payload = '', key = ''] = parts.map((part, i) => marshalJson(objectAt(i + 1, part)));
      return encodeSign(ctx, header, payload, key);
    },
  },
  {
    name: 'io.jwt.encode_sign_raw',
    arity: 3,
    run: (ctx, header, payload, key) => encodeSign(ctx, stringAt(1, header), stringAt(2, payload), stringAt(3, key)),
  },
];
