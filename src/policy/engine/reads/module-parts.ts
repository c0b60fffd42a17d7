import { createReader, eachImport, functionNames, type Reader, SECTION, sectionsOf } from '../wasm-binary.ts';
import { Unsure } from './unsure.ts';

/*
 * Of a module that OPA's compiler made, what tells which functions are the policy's and what they call (WebAssembly core
 * specification, chapter 5; internal/compiler/wasm/wasm.go of OPA).
 */

export type FunctionType = { readonly parameters: number; readonly results: number };

export type ModuleParts = {
  readonly types: readonly FunctionType[];
  /** Functions are known by their index, imported ones among them. The number of its type; undefined when there is none. */
  readonly typeOf: (index: number) => number | undefined;
  /** Undefined also when others have the same. */
  readonly nameOf: (index: number) => string | undefined;
  /** Its locals and its code; undefined for one that is imported. */
  readonly bodyOf: (index: number) => Uint8Array | undefined;
  /** The functions of the table. */
  readonly table: readonly number[];
  /** The one function of this name. Throws Unsure. */
  readonly named: (name: string) => number;
  /** The constant string whose value is at this address, if one is. */
  readonly stringAt: (address: number) => string | undefined;
};

/** Throws Unsure, EngineError. */
export function partsOf(wasm: Uint8Array): ModuleParts {
  const sections = sectionsOf(wasm);
  const reader = (id: number): Reader =>
    createReader(sections.find((section) => section.id === id)?.content ?? Uint8Array.of(0), 0);
  const names = new Map<number, string>();
  const typeNumbers: number[] = [];
  eachImport(sections.find(({ id }) => id === SECTION.import)?.content ?? Uint8Array.of(0), (kind, type, name) => {
    if (kind === 'function') names.set(typeNumbers.push(type) - 1, name);
    return undefined;
  });
  const imported = typeNumbers.length;
  for (const type of vector(reader(SECTION.function), (each) => each.number())) typeNumbers.push(type);
  for (const [index, name] of functionNames(sections)) if (index >= imported) names.set(index, name);
  const indices = Map.groupBy(names.keys(), (index) => names.get(index) ?? '');
  const isOnly = (index: number): boolean => indices.get(names.get(index) ?? '')?.length === 1;
  const bodies = vector(reader(SECTION.code), bytesOf);
  return {
    types: vector(reader(SECTION.type), typeAt),
    typeOf: (index) => typeNumbers[index],
    nameOf: (index) => (isOnly(index) ? names.get(index) : undefined),
    bodyOf: (index) => bodies[index - imported],
    table: vector(reader(SECTION.element), elementsAt).flat(),
    named(name) {
      const [found, ...others] = indices.get(name) ?? [];
      if (found === undefined || others.length > 0) throw new Unsure(`no one function is ${name}`);
      return found;
    },
    stringAt: stringsIn(vector(reader(SECTION.data), segmentAt)),
  };
}

function vector<T>(reader: Reader, read: (reader: Reader) => T): readonly T[] {
  const all: T[] = [];
  for (let left = reader.number(); left > 0; left--) all.push(read(reader));
  return all;
}

const bytesOf = (reader: Reader): Uint8Array => reader.bytes(reader.number());

function typeAt(reader: Reader): FunctionType {
  if (reader.byte() !== 0x60) throw new Unsure('it has a type that is no function');
  const parameters = bytesOf(reader).length;
  return { parameters, results: bytesOf(reader).length };
}

function elementsAt(reader: Reader): readonly number[] {
  offsetAt(reader);
  return vector(reader, (each) => each.number());
}

type Segment = { readonly start: number; readonly bytes: Uint8Array };

const segmentAt = (reader: Reader): Segment => ({ start: offsetAt(reader), bytes: bytesOf(reader) });

/** 0 (the first memory or table); i32.const OFFSET; end */
function offsetAt(reader: Reader): number {
  const isPlain = reader.byte() === 0 && reader.byte() === 0x41;
  const offset = reader.signed();
  if (!isPlain || reader.byte() !== 0x0b) throw new Unsure('it has a segment at a place that is not constant');
  return offset;
}

const INTERNED_STRING = 8;
const STRING_BYTES = 12;

/** A value's type, and behind 4 bytes each its length and where its text is (wasm/src/value.h, opa_string_t). */
function stringsIn(segments: readonly Segment[]): ModuleParts['stringAt'] {
  function bytesAt(address: number, length: number): Uint8Array | undefined {
    const isIn = ({ start, bytes }: Segment): boolean => address < start + bytes.length && address + length > start;
    const [segment, ...others] = segments.filter(isIn);
    if (segment === undefined || others.length > 0) return undefined;
    const from = address - segment.start;
    const isWithin = from >= 0 && from + length <= segment.bytes.length;
    return isWithin ? segment.bytes.subarray(from, from + length) : undefined;
  }

  return (address) => {
    const value = bytesAt(address, STRING_BYTES);
    if (value?.[0] !== INTERNED_STRING) return undefined;
    const view = new DataView(value.buffer, value.byteOffset, STRING_BYTES);
    const length = view.getUint32(4, true);
    const text = length === 0 ? Uint8Array.of() : bytesAt(view.getUint32(8, true), length);
    if (text === undefined) return undefined;
    try {
      return utf8.decode(text);
    } catch {
      return undefined;
    }
  };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
