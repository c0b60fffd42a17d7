import type { Reads } from '../../../model/reads.ts';
import { type Code, decode } from './code.ts';
import { follow } from './follow.ts';
import { type ModuleParts, partsOf } from './module-parts.ts';
import { Unsure } from './unsure.ts';

/*
 * What a policy reads of its input, told from its compiled module before it is ever asked. A read that is missed could
 * turn a denial into an allowance, so only what OPA's compiler is known to emit is followed: a value of the input that
 * gets anywhere else is read as a whole, and a module with anything else in it reads everything
 * (docs/decisions/reads.md).
 */

/** Bytes of code and what following them takes, of all entrypoints: about a second. */
const MAX_STEPS = 10_000_000;

/**
 * What each of `entrypoints` (numbers by name) of a module that OPA compiled reads at most. Whatever is not certain is
 * `true`. Never throws.
 */
export function readsOf(wasm: Uint8Array, entrypoints: ReadonlyMap<string, number>): ReadonlyMap<string, Reads> {
  let left = MAX_STEPS;
  const spend = (steps: number): void => {
    left -= steps;
    if (left < 0) throw new Unsure('it takes too long to tell');
  };
  const parts = orUndefined(() => partsOf(wasm));
  if (parts === undefined) return new Map([...entrypoints].map(([name]) => [name, true]));
  const codeOf = decoding(parts, spend);
  const readsFrom = (entrypoint: number): Reads => orUndefined(() => follow(parts, entrypoint, codeOf, spend)) ?? true;
  return new Map([...entrypoints].map(([name, entrypoint]) => [name, readsFrom(entrypoint)]));
}

/** Undefined whatever `step` throws: Unsure, EngineError, also a RangeError where calls are too deep. */
function orUndefined<T>(step: () => T): T | undefined {
  try {
    return step();
  } catch {
    return undefined;
  }
}

/** Each function is decoded once. */
function decoding(parts: ModuleParts, spend: (steps: number) => void): (index: number) => Code {
  const codes = new Map<number, Code>();
  return (index) => {
    const known = codes.get(index);
    if (known !== undefined) return known;
    const body = parts.bodyOf(index);
    if (body === undefined) throw new Unsure('a function without code');
    spend(body.length);
    const code = decode(body);
    codes.set(index, code);
    return code;
  };
}
