import { EngineError } from './engine.ts';
import { mendedWith } from './mended-with.ts';
import { type Prefix, redirections } from './redirected.ts';
import {
  createReader,
  HEADER_BYTES,
  importsOf,
  leb,
  SECTION,
  type Section,
  sectionsOf,
  skipImmediates,
} from './wasm-binary.ts';

/*
 * WebAssembly that loops cannot be interrupted from the outside in its own thread. So a module is rewritten before it is
 * compiled: each function and each turn of a loop takes one step from a budget, and the module traps when none is left.
 * Binary format: WebAssembly core specification, chapter 5.
 */

/** The exported global, a mutable i32, that holds the steps left. Negative after it ran out. */
export const STEPS_EXPORT = 'postern_steps_left';
/** What the names begin with under which the module's own mutable globals are exported. */
export const GLOBAL_EXPORT = 'postern_global_';

/** The exported global, a mutable i32, that becomes the address of the input's value; 0: its text could not be read. */
export const INPUT_EXPORT = 'postern_input';
const INPUT_GLOBAL = [0x7f, 0x01, 0x41, 0x01, 0x0b];

/** A mutable i32 that begins at 2^26 − 1: to start, and to say what it is, a module needs a few thousand. */
const STEPS_GLOBAL = [0x7f, 0x01, 0x41, 0xff, 0xff, 0xff, 0x1f, 0x0b];
/** The largest budget, 2^31 − 1 steps. */
export const MAX_STEPS = 0x7fff_ffff;

const MAX_FUNCTIONS = 1_000_000;

/** The module with a budget of steps. Throws EngineError when it is malformed or holds what cannot be read. */
export function withSteps(wasm: Uint8Array): Uint8Array {
  const sections = sectionsOf(wasm);
  const find = (id: number): Uint8Array => {
    const found = sections.find((one) => one.id === id);
    if (found === undefined) throw new EngineError(`the WASM module has no section ${id}`);
    return found.content;
  };
  const imported = importsOf(find(SECTION.import), 'global').length;
  const globals = globalsOf(find(SECTION.global));
  const index = imported + globals.length;
  const exported = [
    ...globals.flatMap((isMutable, i) => (isMutable ? [exportOf(`${GLOBAL_EXPORT}${i}`, imported + i)] : [])),
    exportOf(STEPS_EXPORT, index),
    exportOf(INPUT_EXPORT, index + 1),
  ];
  const step = stepCode(index);
  const added = { step, prefixes: redirections(sections), input: inputMark(sections, index + 1) };
  const parts: Uint8Array[] = [wasm.subarray(0, HEADER_BYTES)];
  for (const { id, content } of sections) {
    if (id === SECTION.global) parts.push(...section(id, appended(content, [STEPS_GLOBAL, INPUT_GLOBAL])));
    else if (id === SECTION.export) parts.push(...section(id, appended(content, exported)));
    else if (id === SECTION.code) parts.push(...section(id, [meteredCode(content, added)]));
    else parts.push(...section(id, [content]));
  }
  return Buffer.concat(parts);
}

function section(id: number, content: readonly Uint8Array[]): readonly Uint8Array[] {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  return [Uint8Array.of(id, ...leb(length)), ...content];
}

/** A vector with more elements. */
function appended(vector: Uint8Array, elements: readonly (readonly number[])[]): readonly Uint8Array[] {
  const reader = createReader(vector, 0);
  const count = reader.number();
  return [
    Uint8Array.from(leb(count + elements.length)),
    vector.subarray(reader.at()),
    Uint8Array.from(elements.flat()),
  ];
}

const exportOf = (name: string, index: number): number[] => [
  name.length,
  ...Buffer.from(name, 'latin1'),
  0x03,
  ...leb(index),
];

/** Of each global of the module's own, whether it can change. */
function globalsOf(globals: Uint8Array): readonly boolean[] {
  const reader = createReader(globals, 0);
  const mutable: boolean[] = [];
  for (let left = reader.number(); left > 0; left--) {
    reader.byte();
    mutable.push(reader.byte() === 1);
    for (let opcode = reader.byte(); opcode !== 0x0b; opcode = reader.byte()) skipImmediates(opcode, reader);
  }
  return mutable;
}

/** steps := steps − 1; trap when steps < 0. */
function stepCode(index: number): Uint8Array {
  const get = [0x23, ...leb(index)];
  const set = [0x24, ...leb(index)];
  const isNegative = [...get, 0x41, 0x00, 0x48];
  return Uint8Array.from([...get, 0x41, 0x01, 0x6b, ...set, ...isNegative, 0x04, 0x40, 0x00, 0x0b]);
}

type InputMark = {
  /** The place of opa_eval in the code section. */
  readonly place: number;
  /** The index of the function that it reads the input's text with. */
  readonly reader: number;
  /** Keeps what that function returns: global.set; global.get. */
  readonly code: Uint8Array;
};

function inputMark(sections: readonly Section[], global: number): InputMark | undefined {
  const find = (id: number): Uint8Array => sections.find((one) => one.id === id)?.content ?? Uint8Array.of(0);
  const imported = importsOf(find(SECTION.import), 'function').length;
  const functions = exportedFunctions(find(SECTION.export));
  const [evaluate, reader] = [functions.get('opa_eval'), functions.get('opa_value_parse')];
  if (evaluate === undefined || reader === undefined) return undefined;
  const code = Uint8Array.of(0x24, ...leb(global), 0x23, ...leb(global));
  return { place: evaluate - imported, reader, code };
}

function exportedFunctions(exports: Uint8Array): ReadonlyMap<string, number> {
  const reader = createReader(exports, 0);
  const functions = new Map<string, number>();
  for (let left = reader.number(); left > 0; left--) {
    const length = reader.number();
    const start = reader.at();
    const name = Buffer.from(exports.subarray(start, reader.skip(length))).toString('latin1');
    const kind = reader.byte();
    const index = reader.number();
    if (kind === 0) functions.set(name, index);
  }
  return functions;
}

type Added = {
  readonly step: Uint8Array;
  readonly prefixes: ReadonlyMap<number, Prefix>;
  readonly input: InputMark | undefined;
};

function meteredCode(code: Uint8Array, { step, prefixes, input }: Added): Uint8Array {
  const reader = createReader(code, 0);
  const count = reader.number();
  if (count > MAX_FUNCTIONS) throw new EngineError('the WASM module has too many functions');
  const parts: Uint8Array[] = [Uint8Array.from(leb(count))];
  for (let place = 0; place < count; place++) {
    const length = reader.number();
    const start = reader.at();
    const body = code.subarray(start, reader.skip(length));
    const prefix = prefixes.get(place);
    if (prefix?.replaces === true) parts.push(...replaced(prefix.code));
    else {
      const mark = input?.place === place ? input : undefined;
      parts.push(...withInsertions(body, insertionsInto(body, step, prefix?.code, mark)));
    }
  }
  return Buffer.concat(parts);
}

/** A body without locals, with its length before it. */
const replaced = (code: Uint8Array): readonly Uint8Array[] => [
  Uint8Array.from([...leb(code.length + 2), 0x00]),
  code,
  Uint8Array.of(0x0b),
];

function withInsertions(body: Uint8Array, insertions: readonly Insertion[]): readonly Uint8Array[] {
  const inserted = insertions.reduce((sum, { code }) => sum + code.length, 0);
  const parts: Uint8Array[] = [Uint8Array.from(leb(body.length + inserted))];
  let from = 0;
  for (const { at, code } of insertions) {
    parts.push(body.subarray(from, at), code);
    from = at;
  }
  parts.push(body.subarray(from));
  return parts;
}

type Insertion = { readonly at: number; readonly code: Uint8Array };

/** A step behind the locals and behind the head of each loop, and what mends `with`. */
function insertionsInto(
  body: Uint8Array,
  step: Uint8Array,
  prefix: Uint8Array | undefined,
  mark: InputMark | undefined,
): readonly Insertion[] {
  const reader = createReader(body, 0);
  for (let left = reader.number(); left > 0; left--) {
    reader.number();
    reader.byte();
  }
  const insertions: Insertion[] = [{ at: reader.at(), code: step }];
  if (prefix !== undefined) insertions.push({ at: reader.at(), code: prefix });
  while (!reader.atEnd()) {
    const start = reader.at();
    const opcode = reader.byte();
    skipImmediates(opcode, reader);
    if (opcode === 0x03) insertions.push({ at: reader.at(), code: step });
    else if (opcode === 0x10 && mark !== undefined) {
      const called = createReader(body, start + 1).number();
      if (called === mark.reader) insertions.push({ at: reader.at(), code: mark.code });
    } else if (opcode === 0x20) {
      const mended = mendedWith(body, start, reader.at());
      if (mended !== undefined) insertions.push(mended);
    }
  }
  return insertions;
}
