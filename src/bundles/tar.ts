/** An archive that is no plain tar of regular files (POSIX pax, "ustar Interchange Format"; GNU long names). */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

export type ArchiveLimits = { readonly entries: number; readonly nameBytes: number };

const BLOCK = 512;
const MAX_EXTENSION_BYTES = 65_536;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The regular files of a tar archive by name, as views of `bytes`. Throws ArchiveError for anything out of the ordinary. */
export function readTar(bytes: Buffer, limits: ArchiveLimits): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  let longName: string | undefined;
  let entries = 0;
  for (let at = 0; ; ) {
    if (at + BLOCK > bytes.length) throw new ArchiveError('the archive has no end');
    const header = bytes.subarray(at, at + BLOCK);
    if (isZero(header)) {
      // What follows the end would be seen by some readers and not by others.
      if (longName !== undefined) throw new ArchiveError('a long name belongs to no entry');
      if (bytes.length < at + 2 * BLOCK || !isZero(bytes.subarray(at))) {
        throw new ArchiveError('the archive has no proper end, or something after it');
      }
      return files;
    }
    if (++entries > limits.entries) throw new ArchiveError(`more than ${limits.entries} entries`);
    verifyChecksum(header);
    const size = octal(header.subarray(124, 136));
    const start = at + BLOCK;
    if (size > bytes.length - start) throw new ArchiveError('an entry is cut short');
    const content = bytes.subarray(start, start + size);
    at = start + Math.ceil(size / BLOCK) * BLOCK;
    const type = String.fromCharCode(header[156] ?? 0);
    switch (type) {
      case 'x':
        longName = paxPath(content) ?? longName;
        continue;
      case 'L':
        longName = text(extension(content));
        continue;
      case 'g':
        if (paxPath(content) !== undefined) throw new ArchiveError('one name for several entries');
        continue;
      case '5':
        folderName(longName ?? headerName(header), limits.nameBytes);
        break;
      case '0':
      case '\0': {
        const name = entryName(longName ?? headerName(header), limits.nameBytes);
        if (files.has(name)) throw new ArchiveError(`${name} is there twice`);
        files.set(name, content);
        break;
      }
      default:
        throw new ArchiveError('an entry is neither a file nor a directory');
    }
    longName = undefined;
  }
}

function verifyChecksum(header: Buffer): void {
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += header[i] ?? 0;
  if (sum !== Number.parseInt(header.toString('latin1', 148, 156).trim(), 8))
    throw new ArchiveError('this is no tar archive, or a damaged one');
}

function octal(field: Buffer): number {
  const digits = field
    .toString('latin1')
    .replace(/^ */, '')
    .replace(/[ \0].*$/s, '');
  if (!/^[0-7]+$/.test(digits)) throw new ArchiveError('a header holds a number that is none');
  return Number.parseInt(digits, 8);
}

/** Compares the bytes with themselves, one further on: one native call, also when there are many. */
const isZero = (bytes: Buffer): boolean =>
  bytes.length === 0 || (bytes[0] === 0 && bytes.subarray(1).equals(bytes.subarray(0, -1)));

/** Content that describes the next entry. */
function extension(content: Buffer): Buffer {
  if (content.length > MAX_EXTENSION_BYTES) throw new ArchiveError('a header is too large');
  return content;
}

/** Bytes up to the first NUL as text; after it there is padding only. */
function text(field: Buffer): string {
  const end = field.indexOf(0);
  if (end >= 0 && !isZero(field.subarray(end))) throw new ArchiveError('a name holds NUL');
  try {
    return utf8.decode(end < 0 ? field : field.subarray(0, end));
  } catch {
    throw new ArchiveError('a name is not UTF-8');
  }
}

function headerName(header: Buffer): string {
  const name = text(header.subarray(0, 100));
  // GNU's magic is `ustar  \0`, and it keeps times where ustar has the prefix.
  const isUstar = header.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? text(header.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** The `path` record of a pax header: `LENGTH path=VALUE\n`. */
function paxPath(records: Buffer): string | undefined {
  const content = extension(records);
  let path: string | undefined;
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const digits = content.toString('latin1', at, Math.max(at, space));
    const length = /^[1-9]\d{0,5}$/.test(digits) ? Number(digits) : 0;
    if (length < 5 || at + length > content.length || content[at + length - 1] !== 0x0a) {
      throw new ArchiveError('a pax header is malformed');
    }
    const record = content.subarray(space + 1, at + length - 1);
    const equals = record.indexOf(0x3d);
    if (equals < 1) throw new ArchiveError('a pax header is malformed');
    const key = record.toString('latin1', 0, equals);
    if (key === 'path') {
      if (record.includes(0)) throw new ArchiveError('a name holds NUL');
      path = text(record.subarray(equals + 1));
    }
    if (key === 'size' || key.startsWith('GNU.sparse'))
      throw new ArchiveError('sparse and oversized entries are refused');
    at += length;
  }
  return path;
}

/** Folders are not kept, but one that leads out tells what kind of archive this is. The root itself may be named. */
function folderName(name: string, maxBytes: number): void {
  if (!/^\.?\/*$/.test(name)) entryName(name.replace(/\/$/, ''), maxBytes);
}

/** A name below the archive's root, without a leading slash. */
function entryName(name: string, maxBytes: number): string {
  const relative = name.replace(/^(?:\.?\/)+/, '');
  const segments = relative.split('/');
  if (Buffer.byteLength(relative) > maxBytes) throw new ArchiveError('a name is too long');
  if (relative === '' || relative.includes('\\') || segments.some((segment) => ['', '.', '..'].includes(segment))) {
    throw new ArchiveError('a name leads out of the archive, or nowhere');
  }
  return relative;
}
