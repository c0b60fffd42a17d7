import { compareNumbers, isNumber } from './number.ts';
import { RegoObject, RegoSet, type Value } from './value.ts';

/**
 * OPA's total order: null, false, true, numbers, strings by their UTF-8 bytes, arrays, objects, sets
 * (https://www.openpolicyagent.org/docs/policy-reference, "Comparison"; OPA v1/ast/compare.go).
 */
export function compare(a: Value, b: Value): number {
  if (a === b) return 0;
  if (typeof a === 'string' && typeof b === 'string') return compareStrings(a, b);
  if (typeof a === 'number' && typeof b === 'number') return a < b ? -1 : a > b ? 1 : 0;
  const ranks = rank(a) - rank(b);
  if (ranks !== 0) return ranks < 0 ? -1 : 1;
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b);
  if (typeof a === 'boolean') return a ? 1 : -1;
  if (a instanceof RegoObject && b instanceof RegoObject) return compareObjects(a, b);
  if (a instanceof RegoSet && b instanceof RegoSet) return compareLists(a.sorted(), b.sorted());
  return compareLists(a as readonly Value[], b as readonly Value[]);
}

function rank(value: Value): number {
  if (value === null) return 0;
  if (typeof value === 'boolean') return 1;
  if (isNumber(value)) return 2;
  if (typeof value === 'string') return 3;
  if (Array.isArray(value)) return 4;
  return value instanceof RegoObject ? 5 : 6;
}

function compareLists(a: readonly Value[], b: readonly Value[]): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const order = compare(a[i] as Value, b[i] as Value);
    if (order !== 0) return order;
  }
  return Math.sign(a.length - b.length);
}

function compareObjects(a: RegoObject, b: RegoObject): number {
  const left = a.sorted();
  const right = b.sorted();
  const shared = Math.min(left.length, right.length);
  for (let i = 0; i < shared; i++) {
    const [leftKey, leftValue] = left[i] as readonly [Value, Value];
    const [rightKey, rightValue] = right[i] as readonly [Value, Value];
    const order = compare(leftKey, rightKey) || compare(leftValue, rightValue);
    if (order !== 0) return order;
  }
  return Math.sign(left.length - right.length);
}

/** By UTF-8 bytes, which is by code points: UTF-16 has surrogates below U+E000 to U+FFFF, UTF-8 above. */
export function compareStrings(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return weight(x) - weight(y) < 0 ? -1 : 1;
  }
  return Math.sign(a.length - b.length);
}

const weight = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
