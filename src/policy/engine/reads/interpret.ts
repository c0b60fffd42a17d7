import { type Code, OP } from './code.ts';
import { joined, type Locals, localAt, localsOf, withLocal } from './locals.ts';
import type { FunctionType } from './module-parts.ts';
import { Unsure } from './unsure.ts';
import {
  either,
  type Held,
  isNothing,
  mayBeNull,
  mayBeSet,
  NOTHING,
  NULL,
  numberOf,
  OTHER,
  withoutNull,
} from './values.ts';

/** What a function meets outside of itself. */
export type Surroundings = {
  /** Throws Unsure when there have been too many. */
  readonly spend: (steps: number) => void;
  readonly typeOfFunction: (index: number) => FunctionType;
  readonly typeAt: (index: number) => FunctionType;
  /** What the call returns; nothing when it does not. */
  readonly call: (index: number, given: readonly Held[]) => Held;
  readonly callIndirect: (type: number, element: Held, given: readonly Held[]) => Held;
  readonly load: (address: Held, offset: number) => Held;
  readonly store: (address: Held, offset: number, value: Held) => void;
};

/** An operand, and the local whose being null, or not being null, is what it tells. */
type Operand = { readonly held: Held; readonly tells?: { readonly local: number; readonly isNull: boolean } };

/**
 * Follows every way through `code` at once: what each local may hold at each place where ways meet. Returns what the
 * function may return. Throws Unsure.
 */
export function interpret(code: Code, parameters: readonly Held[], around: Surroundings): Held {
  const { operators, operands } = code;
  /** By the place in the code, of those that are branched to. */
  const known = new Map<number, Locals>();
  const pending = new Set<number>();
  const last = operators.length - 1;
  let returned = NOTHING;

  const atStart = localsOf([...parameters, ...Array.from({ length: code.locals }, () => NULL)]);

  function arrive(place: number, locals: Locals): void {
    const before = known.get(place);
    const now = before === undefined ? locals : joined(before, locals, around.spend);
    if (now === before) return;
    known.set(place, now);
    pending.add(place);
  }

  /** From `start` to where the way ends, or meets another one. */
  function follow(start: number): void {
    let locals = known.get(start) ?? atStart;
    const stack: Operand[] = [];

    const push = (held: Held, tells?: Operand['tells']): void => {
      around.spend(held.places.size);
      stack.push(tells === undefined ? { held } : { held, tells });
    };
    const popOperand = (): Operand => stack.pop() ?? unsure('nothing on the stack');
    const pop = (): Held => popOperand().held;
    const popAll = (count: number): Held[] => {
      if (count > stack.length) unsure('nothing on the stack');
      return stack.splice(stack.length - count).map(({ held }) => held);
    };
    const local = (index: number): Held => localAt(locals, index) ?? unsure('no such local');

    function set(index: number, held: Held): void {
      local(index);
      locals = withLocal(locals, index, held);
      // What was read before tells nothing about it any more.
      stack.forEach((operand, i) => {
        if (operand.tells?.local === index) stack[i] = { held: operand.held };
      });
    }

    /** Goes to `place` if the operand may be true (or false); returns whether it may be the other. */
    function branch({ held, tells }: Operand, place: number, when: boolean): boolean {
      const knowing = (truth: boolean): Locals => {
        if (tells === undefined) return locals;
        return withLocal(locals, tells.local, truth === tells.isNull ? NULL : withoutNull(local(tells.local)));
      };
      const [mayGo, mayStay] = when ? [mayBeSet(held), mayBeNull(held)] : [mayBeNull(held), mayBeSet(held)];
      if (mayGo) arrive(place, knowing(when));
      if (mayStay) locals = knowing(!when);
      return mayStay;
    }

    function call({ parameters: count, results }: FunctionType, make: (given: readonly Held[]) => Held): boolean {
      const result = make(popAll(count));
      if (results > 0) push(result);
      return results === 0 || !isNothing(result);
    }

    for (let at = start; ; at++) {
      around.spend(1);
      const operator = operators[at];
      const operand = operands[at] ?? 0;
      if ((operator === OP.end || operator === OP.loop) && at !== start && at !== last) {
        expectEmpty(stack);
        arrive(at, locals);
        return;
      }
      switch (operator) {
        case OP.nop:
        case OP.loop:
          break;
        case OP.block:
          expectEmpty(stack);
          break;
        case OP.end:
          if (at !== last) break;
          if (stack.length > 0) returned = either(returned, pop());
          return;
        case OP.return:
          returned = either(returned, pop());
          return;
        case OP.if: {
          const condition = popOperand();
          expectEmpty(stack);
          if (!branch(condition, operand, false)) return;
          break;
        }
        case OP.br:
          arrive(operand, locals);
          return;
        case OP.brIf:
          if (!branch(popOperand(), operand, true)) return;
          break;
        case OP.call:
          if (!call(around.typeOfFunction(operand), (given) => around.call(operand, given))) return;
          break;
        case OP.callIndirect: {
          const element = pop();
          if (!call(around.typeAt(operand), (given) => around.callIndirect(operand, element, given))) return;
          break;
        }
        case OP.drop:
          pop();
          break;
        case OP.localGet:
          push(local(operand), { local: operand, isNull: false });
          break;
        case OP.localSet:
          set(operand, pop());
          break;
        case OP.localTee: {
          const held = pop();
          set(operand, held);
          push(held, { local: operand, isNull: false });
          break;
        }
        case OP.i32Const:
          push(numberOf(operand));
          break;
        case OP.i64Const:
          push(OTHER);
          break;
        case OP.eqz: {
          const { held, tells } = popOperand();
          push(truth(mayBeNull(held), mayBeSet(held)), tells && { ...tells, isNull: !tells.isNull });
          break;
        }
        case OP.ne: {
          const right = pop();
          const { held: left, tells } = popOperand();
          if (right === NULL || isSame(right, NULL)) push(truth(mayBeSet(left), mayBeNull(left)), tells);
          else push(truth(!isSame(left, right), mayBeSame(left, right)));
          break;
        }
        case OP.load:
          push(around.load(pop(), operand));
          break;
        case OP.store: {
          const value = pop();
          around.store(pop(), operand, value);
          break;
        }
        // OP.unreachable, and what decoding lets nothing through for.
        default:
          return;
      }
    }
  }

  known.set(0, atStart);
  pending.add(0);
  while (pending.size > 0) {
    // The first in the code: whatever leads to it without a loop has come by then.
    const next = [...pending].reduce((a, b) => Math.min(a, b));
    pending.delete(next);
    around.spend(pending.size);
    follow(next);
  }
  return returned;
}

function unsure(problem: string): never {
  throw new Unsure(problem);
}

function expectEmpty(stack: readonly unknown[]): void {
  if (stack.length > 0) unsure('operands are left from one block to the next');
}

/** What a comparison gives that may be true, and may be false. */
const truth = (mayHold: boolean, mayFail: boolean): Held =>
  either(mayHold ? numberOf(1) : NOTHING, mayFail ? NULL : NOTHING);

const isNumber = ({ places, numbers, other }: Held): boolean => !other && places.size === 0 && numbers.size === 1;
const isSame = (a: Held, b: Held): boolean => isNumber(a) && isNumber(b) && a.numbers.isSubsetOf(b.numbers);
const mayBeSame = (a: Held, b: Held): boolean => !isNumber(a) || !isNumber(b) || a.numbers.isSubsetOf(b.numbers);
