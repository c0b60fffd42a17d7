import { createReader, type Reader } from '../wasm-binary.ts';
import { Unsure } from './unsure.ts';

/** The instructions that OPA's compiler emits. */
export const OP = {
  unreachable: 0x00,
  nop: 0x01,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  drop: 0x1a,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  load: 0x28,
  store: 0x36,
  i32Const: 0x41,
  i64Const: 0x42,
  eqz: 0x45,
  ne: 0x47,
} as const;

/** A function's code as a list. */
export type Code = {
  /** Its parameters not counted. */
  readonly locals: number;
  readonly operators: readonly number[];
  /**
   * Of branches and `if` (when it is not taken) the place in the list where they go on, of calls the function or the
   * type, of loads and stores the offset, of the others what they name.
   */
  readonly operands: readonly number[];
};

const MAX_INSTRUCTIONS = 2_000_000;
const I32 = 0x7f;
const NO_RESULT = 0x40;

type Label = { readonly loop: number | undefined; readonly waiting: number[] };

/** Throws Unsure for what OPA's compiler does not emit. Throws EngineError. */
export function decode(body: Uint8Array): Code {
  const reader = createReader(body, 0);
  const locals = localsOf(reader);
  const operators: number[] = [];
  const operands: number[] = [];
  const labels: Label[] = [];
  let isEnded = false;

  function open(loop: number | undefined): Label {
    if (reader.byte() !== NO_RESULT) throw new Unsure('a block has a result');
    const label: Label = { loop, waiting: [] };
    labels.push(label);
    return label;
  }

  /** What a branch to the label `depth` blocks out has for an operand. */
  function target(depth: number): number {
    const label = labels.at(-1 - depth);
    if (label === undefined) throw new Unsure('a branch out of its function');
    if (label.loop === undefined) label.waiting.push(operators.length);
    return label.loop ?? 0;
  }

  function close(): void {
    const label = labels.pop();
    isEnded = label === undefined;
    for (const branch of label?.waiting ?? []) operands[branch] = operators.length;
  }

  function operandOf(operator: number): number {
    switch (operator) {
      case OP.block:
        open(undefined);
        return 0;
      case OP.loop:
        open(operators.length);
        return 0;
      case OP.if:
        open(undefined).waiting.push(operators.length);
        return 0;
      case OP.end:
        close();
        return 0;
      case OP.br:
      case OP.brIf:
        return target(reader.number());
      case OP.call:
      case OP.localGet:
      case OP.localSet:
      case OP.localTee:
        return reader.number();
      case OP.callIndirect:
        return secondIsZero(reader.number(), reader);
      case OP.load:
      case OP.store:
        reader.number();
        return reader.number();
      case OP.i32Const:
        return reader.signed();
      case OP.i64Const:
        reader.skipLeb();
        return 0;
      case OP.unreachable:
      case OP.nop:
      case OP.return:
      case OP.drop:
      case OP.eqz:
      case OP.ne:
        return 0;
      default:
        throw new Unsure(`an instruction that OPA does not emit (0x${operator.toString(16)})`);
    }
  }

  while (!reader.atEnd()) {
    if (isEnded) throw new Unsure('code behind the end');
    if (operators.length >= MAX_INSTRUCTIONS) throw new Unsure('a function is too long');
    const operator = reader.byte();
    const operand = operandOf(operator);
    operators.push(operator);
    operands.push(operand);
  }
  if (!isEnded) throw new Unsure('a block without an end');
  return { locals, operators, operands };
}

function localsOf(reader: Reader): number {
  let locals = 0;
  for (let left = reader.number(); left > 0; left--) {
    locals += reader.number();
    if (reader.byte() !== I32 || locals > MAX_LOCALS) throw new Unsure('locals that OPA does not declare');
  }
  return locals;
}

const MAX_LOCALS = 50_000;

/** The type of an indirect call, through the one table. */
function secondIsZero(type: number, reader: Reader): number {
  if (reader.number() !== 0) throw new Unsure('a second table');
  return type;
}
