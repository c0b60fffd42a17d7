import { EngineError } from './engine.ts';

/*
 * Reading and writing the binary format of modules (WebAssembly core specification, chapter 5).
 */

export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  global: 6,
  export: 7,
  element: 9,
  code: 10,
  data: 11,
} as const;
export const HEADER_BYTES = 8;

export type Section = { readonly id: number; readonly content: Uint8Array };

/** Throws EngineError when the module is cut short. */
export function sectionsOf(wasm: Uint8Array): readonly Section[] {
  const reader = createReader(wasm, HEADER_BYTES);
  const sections: Section[] = [];
  while (!reader.atEnd()) {
    const id = reader.byte();
    const length = reader.number();
    const start = reader.at();
    sections.push({ id, content: wasm.subarray(start, reader.skip(length)) });
  }
  return sections;
}

/** Names of the imports of one kind, in their order. Throws EngineError. */
export function importsOf(imports: Uint8Array, wanted: ImportKind): readonly string[] {
  const names: string[] = [];
  eachImport(imports, (kind, _number, name) => {
    if (kind === wanted) names.push(name);
    return undefined;
  });
  return names;
}

/**
 * Shows `see` each import (`number`: the type of a function, the least pages of a memory) until it returns something.
 * Throws EngineError.
 */
export function eachImport<T>(
  imports: Uint8Array,
  see: (kind: ImportKind, number: number, name: string) => T | undefined,
): T | undefined {
  const reader = createReader(imports, 0);
  for (let left = reader.number(); left > 0; left--) {
    reader.skip(reader.number());
    const length = reader.number();
    const start = reader.at();
    const name = Buffer.from(imports.subarray(start, reader.skip(length))).toString('latin1');
    const kind = IMPORT_KINDS[reader.byte()];
    let number = 0;
    if (kind === 'function') number = reader.number();
    else if (kind === 'global') reader.skip(2);
    else if (kind === 'table' || kind === 'memory') {
      if (kind === 'table') reader.byte();
      const hasMaximum = (reader.byte() & 1) === 1;
      number = reader.number();
      if (hasMaximum) reader.number();
    } else throw new EngineError('the WASM module has an import of an unknown kind');
    const result = see(kind, number, name);
    if (result !== undefined) return result;
  }
  return undefined;
}

const IMPORT_KINDS = ['function', 'table', 'memory', 'global'] as const;
export type ImportKind = (typeof IMPORT_KINDS)[number];

/** Of the custom section `name` (WebAssembly core specification, appendix 7.4), the names of functions. */
export function* functionNames(sections: readonly Section[]): Generator<readonly [index: number, name: string]> {
  for (const { id, content } of sections) {
    if (id !== SECTION.custom) continue;
    const reader = createReader(content, 0);
    const text = (): string => {
      const length = reader.number();
      const start = reader.at();
      return Buffer.from(content.subarray(start, reader.skip(length))).toString('latin1');
    };
    if (text() !== 'name') continue;
    while (!reader.atEnd()) {
      const part = reader.byte();
      const length = reader.number();
      if (part !== FUNCTION_NAMES) {
        reader.skip(length);
        continue;
      }
      for (let left = reader.number(); left > 0; left--) yield [reader.number(), text()];
    }
  }
}

const FUNCTION_NAMES = 1;

/** How many numbers follow the instructions behind the prefix 0xfc. */
const PREFIXED: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1];

export function skipImmediates(opcode: number, reader: Reader): void {
  // block, loop, if, br, br_if, call, return_call, locals, globals, tables, memory.size and .grow, i32.const, i64.const,
  // ref.null, ref.func: one number each
  if (
    (opcode >= 0x02 && opcode <= 0x04) ||
    opcode === 0x0c ||
    opcode === 0x0d ||
    opcode === 0x10 ||
    opcode === 0x12 ||
    (opcode >= 0x20 && opcode <= 0x26) ||
    (opcode >= 0x3f && opcode <= 0x42) ||
    opcode === 0xd0 ||
    opcode === 0xd2
  ) {
    reader.skipLeb();
  } else if ((opcode >= 0x28 && opcode <= 0x3e) || opcode === 0x11 || opcode === 0x13) {
    reader.skipLeb();
    reader.skipLeb();
  } else if (opcode === 0x0e) {
    for (let left = reader.number() + 1; left > 0; left--) reader.skipLeb();
  } else if (opcode === 0x1c) {
    for (let left = reader.number(); left > 0; left--) reader.byte();
  } else if (opcode === 0x43) reader.skip(4);
  else if (opcode === 0x44) reader.skip(8);
  else if (opcode === 0xfc) {
    const numbers = PREFIXED[reader.number()];
    if (numbers === undefined) throw unknownInstruction(opcode);
    for (let left = numbers; left > 0; left--) reader.skipLeb();
  } else if (!hasNoImmediates(opcode)) throw unknownInstruction(opcode);
}

const hasNoImmediates = (opcode: number): boolean =>
  opcode <= 0x01 ||
  opcode === 0x05 ||
  opcode === 0x0b ||
  opcode === 0x0f ||
  opcode === 0x1a ||
  opcode === 0x1b ||
  (opcode >= 0x45 && opcode <= 0xc4) ||
  opcode === 0xd1;

const unknownInstruction = (opcode: number): EngineError =>
  new EngineError(`the WASM module has an instruction that is not known here (0x${opcode.toString(16)})`);

export type Reader = {
  readonly at: () => number;
  readonly atEnd: () => boolean;
  readonly byte: () => number;
  /** An unsigned number of up to 32 bits (LEB128). */
  readonly number: () => number;
  /** A signed number of up to 32 bits. */
  readonly signed: () => number;
  /** Past a number of any width and sign. */
  readonly skipLeb: () => void;
  /** Past `bytes`; returns where it then is. */
  readonly skip: (bytes: number) => number;
  readonly bytes: (count: number) => Uint8Array;
};

export function createReader(bytes: Uint8Array, start: number): Reader {
  let at = start;
  const byte = (): number => {
    const value = bytes[at++];
    if (value === undefined) throw new EngineError('the WASM module is cut short');
    return value;
  };
  const skip = (count: number): number => {
    at += count;
    if (at > bytes.length) throw new EngineError('the WASM module is cut short');
    return at;
  };
  return {
    at: () => at,
    atEnd: () => at >= bytes.length,
    byte,
    number() {
      let value = 0;
      for (let shift = 0; shift < 35; shift += 7) {
        const next = byte();
        value += (next & 0x7f) * 2 ** shift;
        if (next < 0x80) return value;
      }
      throw new EngineError('the WASM module holds a malformed number');
    },
    signed() {
      let value = 0;
      for (let shift = 0; shift < 35; shift += 7) {
        const next = byte();
        value |= (next & 0x7f) << shift;
        if (next < 0x80) return shift < 28 && (next & 0x40) !== 0 ? value | (-1 << (shift + 7)) : value;
      }
      throw new EngineError('the WASM module holds a malformed number');
    },
    skipLeb() {
      while (byte() >= 0x80);
    },
    skip,
    bytes: (count) => bytes.subarray(at, skip(count)),
  };
}

export function leb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return bytes;
}
