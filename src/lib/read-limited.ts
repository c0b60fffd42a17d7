import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** One read of a large file; it happens in a thread, and what comes of it needs no copy. */
const READ_BYTES = 4_194_304;

/** A regular file of at most `maxBytes`, counted on what is read. Rejects when it is larger, is none, or cannot be read. */
export async function readLimited(file: string, maxBytes: number): Promise<Buffer> {
  // A pipe would otherwise be waited for until somebody writes to it.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error(`${file} is not a regular file`);
    const content = stat.size > maxBytes ? undefined : await readAll(handle, stat.size, maxBytes);
    if (content === undefined) throw new Error(`${file} is larger than ${maxBytes} bytes`);
    return content;
  } finally {
    await handle.close();
  }
}

/** All there is, in one buffer of its own; undefined when that is more than `maxBytes`. The size is where it starts from. */
async function readAll(handle: FileHandle, size: number, maxBytes: number): Promise<Buffer | undefined> {
  // Not from the pool, which a slice of would keep as a whole; one byte more, so that the end shows itself.
  let buffer = Buffer.allocUnsafeSlow(size + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, length, Math.min(READ_BYTES, buffer.length - length));
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
    if (length > maxBytes) return undefined;
    // It grows while it is read, or has a size only now.
    if (length === buffer.length) buffer = Buffer.concat([buffer], Math.min(maxBytes + 1, 2 * length + READ_BYTES));
  }
}
