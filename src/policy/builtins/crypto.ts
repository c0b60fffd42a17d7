import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Value } from '../../values/value.ts';
import type { Builtin } from './builtin.ts';
import { stringAt } from './operands.ts';

/*
 * Digests in lower-case hexadecimal. https://www.openpolicyagent.org/docs/policy-reference/builtins/crypto
 */

const digest = (algorithm: string): Builtin => ({
  name: `crypto.${algorithm}`,
  arity: 1,
  run: (_ctx, text) => createHash(algorithm).update(stringAt(1, text)).digest('hex'),
});

const hmac = (algorithm: string): Builtin => ({
  name: `crypto.hmac.${algorithm}`,
  arity: 2,
  run: (_ctx, text, key) => createHmac(algorithm, stringAt(2, key)).update(stringAt(1, text)).digest('hex'),
});

function equalInConstantTime(a: Value | undefined, b: Value | undefined): boolean {
  const left = Buffer.from(stringAt(1, a));
  const right = Buffer.from(stringAt(2, b));
  return left.length === right.length && timingSafeEqual(left, right);
}

export const cryptoBuiltins: readonly Builtin[] = [
  ...['md5', 'sha1', 'sha256'].map(digest),
  ...['md5', 'sha1', 'sha256', 'sha512'].map(hmac),
  { name: 'crypto.hmac.equal', arity: 2, run: (_ctx, a, b) => equalInConstantTime(a, b) },
];
