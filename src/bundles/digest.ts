import { createHash, type Hash } from 'node:crypto';
import type { Json, JsonObject } from '../model/json.ts';
import { compareStrings } from '../values/compare.ts';
import { isObject, stringify } from '../values/json.ts';
import { baseName, isData } from './documents.ts';
import { BundleError } from './error.ts';

/*
 * Digests of files as OPA makes them
 * (https://www.openpolicyagent.org/docs/management-bundles#signature-format; OPA v1/bundle/hash.go): of documents their
 * value counts and not their spelling, of everything else the bytes.
 */

/** OPA's names of digest algorithms, and node's; weaker ones are refused. */
const algorithms: { readonly [name: string]: string } = {
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
  'SHA-512-224': 'sha512-224',
  'SHA-512-256': 'sha512-256',
};
const WEAK = ['MD5', 'SHA-1', 'SHA-224'];

/** Whether the value of a file counts instead of its bytes. */
export const isDocument = (name: string): boolean => baseName(name) === '.manifest' || isData(name);

/** A digest in hex, of a document's value or of bytes. Throws BundleError for an algorithm that is not accepted. */
export function digestOf(algorithm: string, content: Buffer | Json): string {
  const hash = createHash(nameOf(algorithm));
  if (Buffer.isBuffer(content)) return hash.update(content).digest('hex');
  const write = writerTo(hash);
  writeCanonical(content, write.text);
  write.flush();
  return hash.digest('hex');
}

function nameOf(algorithm: string): string {
  const name = Object.hasOwn(algorithms, algorithm) ? algorithms[algorithm] : undefined;
  if (name !== undefined) return name;
  if (WEAK.includes(algorithm)) throw new BundleError(`the digest algorithm ${algorithm} is too weak`);
  throw new BundleError('an unknown digest algorithm');
}

/** Text goes to the hash in pieces of this size; one by one they take longer than the hashing. */
const PIECE = 65_536;

function writerTo(hash: Hash): { readonly text: (piece: string) => void; readonly flush: () => void } {
  let pending = '';
  const flush = (): void => {
    hash.update(pending, 'utf8');
    pending = '';
  };
  return {
    flush,
    text: (piece) => {
      pending += piece;
      if (pending.length > PIECE) flush();
    },
  };
}

/** JSON without spaces, keys in the order of their bytes, strings as Go writes them, numbers digit by digit as they were. */
function writeCanonical(value: Json, write: (piece: string) => void): void {
  if (Array.isArray(value)) {
    write('[');
    (value as readonly Json[]).forEach((item, i) => {
      if (i > 0) write(',');
      writeCanonical(item, write);
    });
    write(']');
  } else if (isObject(value)) {
    write('{');
    sortedKeys(value).forEach((key, i) => {
      write(i > 0 ? `,${quoted(key)}:` : `${quoted(key)}:`);
      writeCanonical(value[key] as Json, write);
    });
    write('}');
  } else write(typeof value === 'string' ? quoted(value) : stringify(value));
}

/** What needs no escape, and is in the same order by UTF-16 as by UTF-8. */
const PLAIN = /^[ !#-[\]-\u2027\u202a-\ud7ff]*$/;

function sortedKeys(object: JsonObject): readonly string[] {
  const keys = Object.keys(object);
  if (keys.every((key) => PLAIN.test(key))) return keys.sort();
  // Halves of surrogate pairs become one and the same replacement character, and then two keys would be one.
  if (new Set(keys.map((key) => key.toWellFormed())).size < keys.length) {
    throw new BundleError('keys that differ only in what is no Unicode');
  }
  return keys.sort((a, b) => compareStrings(a.toWellFormed(), b.toWellFormed()));
}

const quoted = (text: string): string =>
  PLAIN.test(text)
    ? `"${text}"`
    : JSON.stringify(text.toWellFormed()).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
