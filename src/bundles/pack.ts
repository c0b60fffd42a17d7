import { gzipSync } from 'node:zlib';
import type { BundleFiles } from './unpack.ts';

const BLOCK = 512;
const NAME_BYTES = 100;
/** As opa packs bundles. */
const MODE = 0o600;

/** Files to a gzipped tar archive. */
export const pack = (files: BundleFiles): Buffer => gzipSync(tarOf(files), { level: 9 });

/**
 * Files to a tar archive (POSIX pax, "ustar Interchange Format"), in the order of their names and without times,
 * owners or anything else of this machine. They get a leading slash, as opa gives it: it looks for the modules under the
 * names that the manifest has.
 */
export function tarOf(files: BundleFiles): Buffer {
  const names = [...files.keys()].sort();
  const entries = names.flatMap((name) => [
    ...longName(`/${name}`),
    ...entry(`/${name}`, '0', files.get(name) ?? Buffer.alloc(0)),
  ]);
  return Buffer.concat([...entries, Buffer.alloc(2 * BLOCK)]);
}

/** A pax header for a name that an entry's own has no room for: `LENGTH path=NAME\n`. */
function longName(name: string): readonly Buffer[] {
  if (Buffer.byteLength(name) <= NAME_BYTES) return [];
  const record = ` path=${name}\n`;
  const bytes = Buffer.byteLength(record);
  let length = bytes + String(bytes).length;
  // The digits count as well, and may need one more for it.
  if (String(length).length > String(bytes).length) length++;
  return entry('PaxHeader', 'x', Buffer.from(`${length}${record}`));
}

function entry(name: string, type: string, content: Buffer): readonly Buffer[] {
  const header = Buffer.alloc(BLOCK);
  header.set(Buffer.from(name).subarray(0, NAME_BYTES));
  header.write(octal(MODE, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(content.length, 11), 124);
  header.write(octal(0, 11), 136);
  header.write(type, 156);
  header.write('ustar\u000000', 257);
  header.fill(' ', 148, 156);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${octal(sum, 6)}\0 `, 148);
  return [header, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)];
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
