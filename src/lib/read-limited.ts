import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { BodyTooLarge, readBounded } from './bounded-body.ts';

/** A regular file of at most `maxBytes`, counted on what is read. Rejects when it is larger, is none, or cannot be read. */
export async function readLimited(file: string, maxBytes: number): Promise<Buffer> {
  // A pipe would otherwise be waited for until somebody writes to it.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!(await handle.stat()).isFile()) throw new Error(`${file} is not a regular file`);
    return await readBounded(handle.createReadStream({ autoClose: false }), maxBytes);
  } catch (error) {
    throw error instanceof BodyTooLarge ? new Error(`${file} is larger than ${maxBytes} bytes`) : error;
  } finally {
    await handle.close();
  }
}
