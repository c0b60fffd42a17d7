import { messageOf } from '../../lib/message.ts';
import { readLimited } from '../../lib/read-limited.ts';

const MAX_BYTES = 65_536;

/**
 * The text of a file that holds a key or a token. What was given as its name may be the secret itself, by mistake, and is
 * not quoted. Rejects when it cannot be read.
 */
export async function readSecretFile(option: string, file: string): Promise<string> {
  try {
    return (await readLimited(file, MAX_BYTES)).toString('utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
    const cause = code === 'ENOENT' ? 'there is no such file' : (code ?? messageOf(error).replaceAll(file, 'it'));
    throw new Error(`${option}: the name of a readable file is expected (${cause})`);
  }
}
