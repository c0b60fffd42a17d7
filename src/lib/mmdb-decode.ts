/** A value of a MaxMind DB. Integers of more than 32 bits are bigints; objects have no prototype. */
export type MmdbValue = string | number | bigint | boolean | Uint8Array | readonly MmdbValue[] | MmdbObject;
export type MmdbObject = { readonly [key: string]: MmdbValue };

/** The file is not as its format has it, or one record of it is beyond all measure. */
export class MmdbError extends Error {
  override readonly name = 'MmdbError';
}

/** What one decoding may meet; records of the largest databases have 300 values and 4 KiB. */
const MAX_VALUES = 2000;
const MAX_DEPTH = 32;
const MAX_TEXT_BYTES = 65_536;
const MAX_REMEMBERED_KEYS = 500;
const MAX_REMEMBERED_KEY = 64;

// https://maxmind.github.io/MaxMind-DB/#output-data-section
const POINTER = 1;
const TEXT = 2;
const DOUBLE = 3;
const BYTES = 4;
const UINT16 = 5;
const UINT32 = 6;
const MAP = 7;
const INT32 = 8;
const UINT64 = 9;
const UINT128 = 10;
const ARRAY = 11;
const BOOLEAN = 14;
const FLOAT = 15;

const LONGEST_UINT: { readonly [type: number]: number } = { [UINT16]: 2, [UINT32]: 4, [UINT64]: 8, [UINT128]: 16 };
/** What is added to a pointer that has 1, 2, 3 or 4 bytes. */
const POINTER_BASE = [0, 2048, 526_336, 0];

/**
 * Reads values from a section of a file that nobody vouches for: what it does is bounded, whatever stands there. The
 * function throws MmdbError. It takes an offset in the section and, when only some entries of objects are wanted, their keys.
 */
export function createMmdbDecoder(section: Buffer): (offset: number, wanted?: ReadonlySet<string>) => MmdbValue {
  const end = section.length;
  let at = 0;
  let valuesLeft = 0;
  let textLeft = 0;
  let keys: ReadonlySet<string> | undefined;
  /** Writers keep each key once, and making its text is most of the work. */
  const keysByOffset = new Map<number, string>();

  /** Where the next `count` bytes begin. */
  function take(count: number): number {
    const start = at;
    if (count > end - start) throw new MmdbError('a value goes beyond the end');
    at = start + count;
    return start;
  }
  const byte = (): number => section.readUInt8(take(1));

  /** The type of what follows; its control byte says more. */
  function typeOf(control: number): number {
    if (valuesLeft-- <= 0) throw new MmdbError('there are too many values in one record');
    const type = control >> 5;
    return type === 0 ? byte() + 7 : type;
  }

  function sizeOf(control: number): number {
    const size = control & 31;
    if (size < 29) return size;
    if (size === 29) return 29 + byte();
    if (size === 30) return 285 + section.readUInt16BE(take(2));
    return 65_821 + section.readUIntBE(take(3), 3);
  }

  function pointerOf(control: number): number {
    const size = ((control >> 3) & 3) + 1;
    const start = take(size);
    const high = size === 4 ? 0 : (control & 7) * 2 ** (8 * size);
    return high + section.readUIntBE(start, size) + (POINTER_BASE[size - 1] ?? 0);
  }

  /** Goes where a pointer leads, which must not be another pointer. Returns the control byte there. */
  function jump(target: number): number {
    if (target >= end) throw new MmdbError('a pointer leads out of the section');
    at = target;
    const control = byte();
    if (control >> 5 === POINTER) throw new MmdbError('a pointer leads to a pointer');
    return control;
  }

  function text(size: number): string {
    const start = take(size);
    textLeft -= size;
    if (textLeft < 0) throw new MmdbError('there is too much text in one record');
    return section.toString('utf8', start, start + size);
  }

  function key(): string {
    const control = byte();
    if (control >> 5 !== POINTER) return plainKey(control);
    const target = pointerOf(control);
    const known = keysByOffset.get(target);
    if (known !== undefined) return known;
    const back = at;
    const name = plainKey(jump(target));
    at = back;
    if (keysByOffset.size < MAX_REMEMBERED_KEYS && name.length <= MAX_REMEMBERED_KEY) keysByOffset.set(target, name);
    return name;
  }

  function plainKey(control: number): string {
    if (control >> 5 !== TEXT) throw new MmdbError('a key is no text');
    return text(sizeOf(control));
  }

  function countOf(control: number): number {
    const count = sizeOf(control);
    if (count > valuesLeft) throw new MmdbError('there are too many values in one record');
    return count;
  }

  function map(control: number, depth: number): MmdbObject {
    const object = Object.create(null) as { [key: string]: MmdbValue };
    for (let left = countOf(control); left > 0; left--) {
      const name = key();
      if (keys?.has(name) === false) skip(depth + 1);
      else object[name] = value(depth + 1);
    }
    return object;
  }

  function array(control: number, depth: number): readonly MmdbValue[] {
    const items: MmdbValue[] = [];
    for (let left = countOf(control); left > 0; left--) items.push(value(depth + 1));
    return items;
  }

  function scalar(control: number, type: number): MmdbValue {
    const size = sizeOf(control);
    switch (type) {
      case TEXT:
        return text(size);
      case DOUBLE:
        return section.readDoubleBE(take(exactly(size, 8)));
      case FLOAT:
        return section.readFloatBE(take(exactly(size, 4)));
      case BOOLEAN:
        return exactly(size, size & 1) === 1;
      case INT32:
        // Shorter ones lost their leading zeros.
        return size === 4 ? section.readInt32BE(take(4)) : uint(size, 3);
      case BYTES:
        textLeft -= size;
        if (textLeft < 0) throw new MmdbError('there is too much text in one record');
        return new Uint8Array(section.subarray(take(size), at));
      case UINT16:
      case UINT32:
        return uint(size, LONGEST_UINT[type] ?? 0);
      case UINT64:
      case UINT128:
        return bigUint(size, LONGEST_UINT[type] ?? 0);
      default:
        throw new MmdbError('there is a value of an unknown type');
    }
  }

  function exactly(size: number, wanted: number): number {
    if (size !== wanted) throw new MmdbError('a value has a wrong size');
    return size;
  }

  function uint(size: number, longest: number): number {
    if (size > longest) throw new MmdbError('a value has a wrong size');
    return size === 0 ? 0 : section.readUIntBE(take(size), size);
  }

  function bigUint(size: number, longest: number): bigint {
    if (size > longest) throw new MmdbError('a value has a wrong size');
    const start = take(size);
    return size === 0 ? 0n : BigInt(`0x${section.toString('hex', start, at)}`);
  }

  function whole(control: number, type: number, depth: number): MmdbValue {
    if (depth > MAX_DEPTH) throw new MmdbError('a record is nested too deeply');
    if (type === MAP) return map(control, depth);
    return type === ARRAY ? array(control, depth) : scalar(control, type);
  }

  function value(depth: number): MmdbValue {
    const control = byte();
    if (control >> 5 !== POINTER) return whole(control, typeOf(control), depth);
    const target = pointerOf(control);
    const back = at;
    const next = jump(target);
    const result = whole(next, typeOf(next), depth);
    at = back;
    return result;
  }

  /** Goes past a value; what a pointer leads to is not looked at. */
  function skip(depth: number): void {
    if (depth > MAX_DEPTH) throw new MmdbError('a record is nested too deeply');
    const control = byte();
    const type = typeOf(control);
    if (type === POINTER) pointerOf(control);
    else if (type === MAP || type === ARRAY) {
      for (let left = countOf(control) * (type === MAP ? 2 : 1); left > 0; left--) skip(depth + 1);
    } else {
      const size = sizeOf(control);
      if (type !== BOOLEAN) take(size);
    }
  }

  return (offset, wanted) => {
    if (!(offset >= 0 && offset < end)) throw new MmdbError('a record is outside of its section');
    at = offset;
    valuesLeft = MAX_VALUES;
    textLeft = MAX_TEXT_BYTES;
    keys = wanted;
    return value(0);
  };
}
