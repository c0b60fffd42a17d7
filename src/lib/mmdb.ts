import { createMmdbDecoder, MmdbError, type MmdbValue } from './mmdb-decode.ts';

/** A database that maps networks to records (https://maxmind.github.io/MaxMind-DB/, version 2.0). */
export type Mmdb = {
  /** What the records look like, in the words of who made them, such as GeoLite2-City. */
  readonly type: string;
  /** When it was built, ms since the epoch. */
  readonly builtMs: number;
  /**
   * The record of an address of 4 or 16 bytes; undefined when there is none. Of objects, at any depth, only entries with
   * the wanted keys are there. Throws MmdbError when the record cannot be read or is out of all proportion.
   */
  readonly find: (address: readonly number[], wanted?: ReadonlySet<string>) => MmdbValue | undefined;
};

const MARKER = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
/** The metadata with its marker, which is the last part of the file. */
const MAX_METADATA_BYTES = 131_072;
/** Between the tree and the data. */
const SEPARATOR_BYTES = 16;
const LATEST_SECONDS = 8_640_000_000_000;

type Metadata = Pick<Mmdb, 'type' | 'builtMs'> & {
  readonly nodes: number;
  readonly recordBits: number;
  readonly isIpv6: boolean;
  /** Where the marker begins. */
  readonly start: number;
};

/** Opens the content of a whole file. Throws MmdbError when it is no database. Does not look at its records. */
export function openMmdb(file: Buffer): Mmdb {
  const { type, builtMs, nodes, recordBits, isIpv6, start } = metadataOf(file);
  const nodeBytes = recordBits / 4;
  const treeBytes = nodes * nodeBytes;
  const dataStart = treeBytes + SEPARATOR_BYTES;
  if (dataStart > start) throw new MmdbError('it is cut off, or its metadata is wrong: the tree has no room');
  if (file.subarray(treeBytes, dataStart).some((byte) => byte !== 0)) {
    throw new MmdbError('it is broken: there is no gap between the tree and the data');
  }
  const decode = createMmdbDecoder(file.subarray(dataStart, start));
  const recordOf = createRecordReader(file, recordBits);

  /** Follows the bits of an address from a node on, to another one or to a value that stands for a record. */
  function descend(from: number, address: readonly number[], bits: number): number {
    let node = from;
    for (let bit = 0; bit < bits && node < nodes; bit++) {
      node = recordOf(node * nodeBytes, ((address[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    }
    return node;
  }
  // IPv4 addresses have the last 32 bits of IPv6, with zeros before.
  const ipv4Start = isIpv6 ? descend(0, [], 96) : 0;

  return {
    type,
    builtMs,
    find: (address, wanted) => {
      const isIpv4 = address.length === 4;
      if (!isIpv4 && !isIpv6) return undefined;
      const found = descend(isIpv4 ? ipv4Start : 0, address, address.length * 8);
      if (found === nodes) return undefined;
      if (found < nodes) throw new MmdbError('the tree goes on below an address');
      return decode(found - nodes - SEPARATOR_BYTES, wanted);
    },
  };
}

/** Both records of a node, the left one for 0; the middle byte of 28-bit ones has the high bits of both. */
function createRecordReader(file: Buffer, bits: number): (at: number, side: number) => number {
  if (bits === 24) {
    return (at, side) => (side === 0 ? file.readUInt32BE(at) >>> 8 : file.readUInt32BE(at + 2) & 0xff_ffff);
  }
  if (bits === 32) return (at, side) => file.readUInt32BE(at + 4 * side);
  return (at, side) => {
    if (side === 1) return file.readUInt32BE(at + 3) & 0xfff_ffff;
    const word = file.readUInt32BE(at);
    return ((word & 0xf0) << 20) | (word >>> 8);
  };
}

/** https://maxmind.github.io/MaxMind-DB/#database-metadata */
function metadataOf(file: Buffer): Metadata {
  const tail = file.subarray(-MAX_METADATA_BYTES);
  const found = tail.lastIndexOf(MARKER);
  if (found < 0) {
    throw new MmdbError('it is no MaxMind database (.mmdb), or it is cut off or still packed: it has no metadata');
  }
  const metadata = createMmdbDecoder(tail.subarray(found + MARKER.length))(0);
  const numberOf = (key: string): number => {
    const value = typeof metadata === 'object' && key in metadata ? (metadata as { [key: string]: unknown })[key] : 0;
    return typeof value === 'bigint' ? Number(value) : typeof value === 'number' ? value : 0;
  };
  const [version, ip, bits] = [
    numberOf('binary_format_major_version'),
    numberOf('ip_version'),
    numberOf('record_size'),
  ];
  if (version !== 2) throw new MmdbError('its version of the format is not 2');
  if (ip !== 4 && ip !== 6) throw new MmdbError('its metadata is wrong: ip_version is neither 4 nor 6');
  if (bits !== 24 && bits !== 28 && bits !== 32) throw new MmdbError('its metadata is wrong: record_size');
  const nodes = numberOf('node_count');
  if (!(nodes > 0)) throw new MmdbError('its metadata is wrong: node_count');
  const built = numberOf('build_epoch');
  if (!(built > 0 && built <= LATEST_SECONDS)) throw new MmdbError('its metadata is wrong: build_epoch');
  const type = (metadata as { readonly database_type?: unknown }).database_type;
  if (typeof type !== 'string') throw new MmdbError('its metadata is wrong: database_type');
  return {
    type,
    builtMs: built * 1000,
    nodes,
    recordBits: bits,
    isIpv6: ip === 6,
    start: file.length - tail.length + found,
  };
}
