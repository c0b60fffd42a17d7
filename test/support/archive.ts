import { gzipSync } from 'node:zlib';

export type Entry = {
  readonly name: string;
  readonly content?: string | Buffer;
  /** Type flag of the header; a regular file unless told otherwise. */
  readonly type?: string;
  /** What the header says the size is. */
  readonly size?: string;
};

/** A tar archive made by hand, so that it can be wrong. */
export function tar(entries: readonly Entry[]): Buffer {
  const blocks = entries.flatMap(({ name, content = '', type = '0', size }) => {
    const bytes = Buffer.from(content);
    const header = Buffer.alloc(512);
    header.write(name, 0, 100, 'latin1');
    header.write('0000644\0', 100);
    header.write(size ?? `${bytes.length.toString(8).padStart(11, '0')}\0`, 124, 12, 'latin1');
    header.write('00000000000\0', 136);
    header.write(type, 156);
    header.write('ustar\u000000', 257);
    header.fill(0x20, 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export const bundleOf = (entries: readonly Entry[]): Buffer => gzipSync(tar(entries));
