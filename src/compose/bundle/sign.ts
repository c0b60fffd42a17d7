import { BundleError } from '../../bundles/error.ts';
import { pack } from '../../bundles/pack.ts';
import { signFiles } from '../../bundles/sign.ts';
import { SIGNATURES } from '../../bundles/signature.ts';
import { readSignatureInfo } from '../../bundles/signature-info.ts';
import type { SignBundle, VerifyBundle } from '../../cli/bundle/ports.ts';
import { CommandFailed } from '../../cli/failure.ts';
import { filePattern } from '../../lib/file-pattern.ts';
import { messageOf } from '../../lib/message.ts';
import { readPrivateKey, type SigningKey } from '../../lib/private-key.ts';
import { readPublicKey } from '../../lib/public-key.ts';
import { writeBundle } from './build.ts';
import { contentAt, openFiles, unpacked } from './open-file.ts';
import { readSecretFile } from './secret-file.ts';

export const signBundle: SignBundle = async ({ bundle, output, key: file, algorithm, keyId, scope, issuer }) => {
  const pem = await readSecretFile('--key', file);
  const key = about('--key', (): SigningKey => readPrivateKey(pem, algorithm));
  const content = await contentAt(bundle);
  const signed = await orFailed(async () =>
    signFiles(await unpacked(content), { key, algorithm, keyId, scope, issuer }, Date.now()),
  );
  const signature = readSignatureInfo(signed.get(SIGNATURES) ?? Buffer.alloc(0));
  return { signature: { ...signature, verified: true }, file: await writeBundle(output, pack(signed)) };
};

/** What the only key there is called, for the signature is held against it whatever that calls it. */
const ONLY = 'key';

export const verifyBundle: VerifyBundle = async ({ bundle, key: file, algorithm, keyId, scope, excludeFiles }) => {
  const pem = await readSecretFile('--key', file);
  about('--key', () => readPublicKey(pem, algorithm));
  for (const pattern of excludeFiles) about('--exclude-files', () => filePattern(pattern));
  const content = await contentAt(bundle);
  return orFailed(async () => {
    const { bundle: opened, signature } = openFiles(await unpacked(content), {
      ...{ keys: { [ONLY]: { pem, algorithm, scope } }, keyId: ONLY, scope, excludeFiles },
      ...{ required: true, allowUnsignedDeltas: false },
    });
    if (signature === undefined) throw new BundleError(`there is no ${SIGNATURES}`);
    if (keyId !== undefined && signature.keyId !== keyId) {
      throw new BundleError(`${SIGNATURES}: the signature calls its key ${signature.keyId ?? 'nothing'}, not ${keyId}`);
    }
    return { revision: opened.revision, signature };
  });
};

/** What `use` gives; what is wrong with the option's value is told with its name. */
function about<T>(option: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw new Error(`${option}: ${messageOf(error)}`);
  }
}

/** From here on, whatever is wrong is wrong with the bundle. */
async function orFailed<T>(judge: () => Promise<T>): Promise<T> {
  try {
    return await judge();
  } catch (error) {
    throw new CommandFailed(messageOf(error));
  }
}
