import { filePattern } from '../lib/file-pattern.ts';
import { messageOf } from '../lib/message.ts';
import { isSignatureAlgorithm, readPublicKey, signatureAlgorithms } from '../lib/public-key.ts';
import type { BundleConfig, Config } from './schema.ts';

type Keys = Config['keys'];

/** What is wrong with `keys`: each has to be usable now, not when the first bundle comes. */
export const problemsOfKeys = (keys: Keys): readonly string[] =>
  Object.entries(keys).flatMap(([id, key]) => problemsOfKey(key).map((problem) => `keys.${id}${problem}`));

function problemsOfKey({ key, private_key: privateKey, algorithm }: Keys[string]): readonly string[] {
  const isShared = /^HS(?:256|384|512)$/.test(algorithm);
  if (isShared && key !== undefined) {
    return [
      `.algorithm: ${algorithm} is refused: with a shared secret, whatever verifies bundles could also sign them`,
    ];
  }
  if (!isShared && !isSignatureAlgorithm(algorithm))
    return [`.algorithm: must be one of ${signatureAlgorithms.join(', ')}`];
  if (key === undefined) return privateKey === undefined ? [': there is no key in it'] : [];
  try {
    if (isSignatureAlgorithm(algorithm)) readPublicKey(key, algorithm);
    return [];
  } catch (error) {
    return [`.key: ${messageOf(error)}`];
  }
}

/** What is wrong with the signing sections of bundles; `keys` are those that `problemsOfKeys` has looked at. */
export const problemsOfSigning = (bundles: Config['bundles'], keys: Keys): readonly string[] =>
  Object.entries(bundles).flatMap(([name, { signing }]) =>
    signing === undefined ? [] : problemsOf(signing, keys).map((problem) => `bundles.${name}.signing${problem}`),
  );

function problemsOf(
  { keyid, exclude_files: patterns }: NonNullable<BundleConfig['signing']>,
  keys: Keys,
): readonly string[] {
  const isPublic = (id: string): boolean => Object.hasOwn(keys, id) && keys[id]?.key !== undefined;
  const problems: string[] = [];
  if (keyid !== undefined && !isPublic(keyid)) problems.push(`.keyid: keys has no public key called ${keyid}`);
  if (keyid === undefined && !Object.keys(keys).some(isPublic))
    problems.push(': keys has no public key to verify with');
  patterns.forEach((pattern, i) => {
    try {
      filePattern(pattern);
    } catch (error) {
      problems.push(`.exclude_files.${i}: no pattern: ${messageOf(error)}`);
    }
  });
  return problems;
}
