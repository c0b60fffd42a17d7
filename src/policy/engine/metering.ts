import { EngineError } from './engine.ts';

/*
 * WebAssembly that loops cannot be interrupted from the outside in its own thread. So a module is rewritten before it is
 * compiled: each function and each turn of a loop takes one step from a budget, and the module traps when none is left.
 * Binary format: WebAssembly core specification, chapter 5.
 */

/** The exported global, a mutable i32, that holds the steps left. Negative after it ran out. */
export const STEPS_EXPORT = 'postern_steps_left';

/** A mutable i32 that begins at MAX_STEPS. */
const STEPS_GLOBAL = [0x7f, 0x01, 0x41, 0xff, 0xff, 0xff, 0xff, 0x07, 0x0b];
/** The largest budget, 2^31 − 1 steps; what a module has until it is given another. */
export const MAX_STEPS = 0x7fff_ffff;

const SECTION = { import: 2, global: 6, export: 7, code: 10 } as const;
const HEADER_BYTES = 8;
const MAX_FUNCTIONS = 1_000_000;

/** The module with a budget of steps. Throws EngineError when it is malformed or holds what cannot be read. */
export function withSteps(wasm: Uint8Array): Uint8Array {
  const reader = createReader(wasm, HEADER_BYTES);
  const sections: { readonly id: number; readonly start: number; readonly end: number }[] = [];
  while (!reader.atEnd()) {
    const id = reader.byte();
    const length = reader.number();
    sections.push({ id, start: reader.at(), end: reader.skip(length) });
  }
  const find = (id: number): Uint8Array => {
    const section = sections.find((one) => one.id === id);
    if (section === undefined) throw new EngineError(`the WASM module has no section ${id}`);
    return wasm.subarray(section.start, section.end);
  };
  const globals = createReader(find(SECTION.global), 0);
  const index = importedGlobals(find(SECTION.import)) + globals.number();
  const step = stepCode(index);
  const parts: Uint8Array[] = [wasm.subarray(0, HEADER_BYTES)];
  for (const { id, start, end } of sections) {
    const content = wasm.subarray(start, end);
    if (id === SECTION.global) parts.push(...section(id, appended(content, STEPS_GLOBAL)));
    else if (id === SECTION.export) parts.push(...section(id, appended(content, exportOf(index))));
    else if (id === SECTION.code) parts.push(...section(id, [meteredCode(content, step)]));
    else parts.push(...section(id, [content]));
  }
  return Buffer.concat(parts);
}

function section(id: number, content: readonly Uint8Array[]): readonly Uint8Array[] {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  return [Uint8Array.of(id, ...leb(length)), ...content];
}

/** A vector with one more element. */
function appended(vector: Uint8Array, element: readonly number[]): readonly Uint8Array[] {
  const reader = createReader(vector, 0);
  const count = reader.number();
  return [Uint8Array.from(leb(count + 1)), vector.subarray(reader.at()), Uint8Array.from(element)];
}

const exportOf = (index: number): number[] => [
  STEPS_EXPORT.length,
  ...Buffer.from(STEPS_EXPORT, 'latin1'),
  0x03,
  ...leb(index),
];

/** steps := steps − 1; trap when steps < 0. */
function stepCode(index: number): Uint8Array {
  const get = [0x23, ...leb(index)];
  const set = [0x24, ...leb(index)];
  const isNegative = [...get, 0x41, 0x00, 0x48];
  return Uint8Array.from([...get, 0x41, 0x01, 0x6b, ...set, ...isNegative, 0x04, 0x40, 0x00, 0x0b]);
}

function importedGlobals(imports: Uint8Array): number {
  const reader = createReader(imports, 0);
  let globals = 0;
  for (let left = reader.number(); left > 0; left--) {
    reader.skip(reader.number());
    reader.skip(reader.number());
    const kind = reader.byte();
    if (kind === 0) reader.number();
    else if (kind === 1 || kind === 2) {
      if (kind === 1) reader.byte();
      const hasMaximum = (reader.byte() & 1) === 1;
      reader.number();
      if (hasMaximum) reader.number();
    } else if (kind === 3) {
      globals++;
      reader.skip(2);
    } else throw new EngineError('the WASM module has an import of an unknown kind');
  }
  return globals;
}

function meteredCode(code: Uint8Array, step: Uint8Array): Uint8Array {
  const reader = createReader(code, 0);
  const count = reader.number();
  if (count > MAX_FUNCTIONS) throw new EngineError('the WASM module has too many functions');
  const parts: Uint8Array[] = [Uint8Array.from(leb(count))];
  for (let left = count; left > 0; left--) {
    const length = reader.number();
    const start = reader.at();
    const body = code.subarray(start, reader.skip(length));
    const cuts = stepPlaces(body);
    parts.push(Uint8Array.from(leb(body.length + cuts.length * step.length)));
    let from = 0;
    for (const cut of cuts) {
      parts.push(body.subarray(from, cut), step);
      from = cut;
    }
    parts.push(body.subarray(from));
  }
  return Buffer.concat(parts);
}

/** Offsets behind the locals and behind the head of each loop. */
function stepPlaces(body: Uint8Array): readonly number[] {
  const reader = createReader(body, 0);
  for (let left = reader.number(); left > 0; left--) {
    reader.number();
    reader.byte();
  }
  const places = [reader.at()];
  while (!reader.atEnd()) {
    const opcode = reader.byte();
    skipImmediates(opcode, reader);
    if (opcode === 0x03) places.push(reader.at());
  }
  return places;
}

/** How many numbers follow the instructions behind the prefix 0xfc. */
const PREFIXED: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1];

function skipImmediates(opcode: number, reader: Reader): void {
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

type Reader = {
  readonly at: () => number;
  readonly atEnd: () => boolean;
  readonly byte: () => number;
  /** An unsigned number of up to 32 bits (LEB128). */
  readonly number: () => number;
  /** Past a number of any width and sign. */
  readonly skipLeb: () => void;
  /** Past `bytes`; returns where it then is. */
  readonly skip: (bytes: number) => number;
};

function createReader(bytes: Uint8Array, start: number): Reader {
  let at = start;
  const byte = (): number => {
    const value = bytes[at++];
    if (value === undefined) throw new EngineError('the WASM module is cut short');
    return value;
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
    skipLeb() {
      while (byte() >= 0x80);
    },
    skip(count) {
      at += count;
      if (at > bytes.length) throw new EngineError('the WASM module is cut short');
      return at;
    },
  };
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return bytes;
}
