import { compare } from '../../values/compare.ts';
import { isArray, RegoObject, RegoSet, typeName, type Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError } from './builtin.ts';

/**
 * object.subset: whether `sub` is within `whole`: objects member by member and deep, sets member by member, arrays as a
 * run of neighbours, a set within an array. https://www.openpolicyagent.org/docs/policy-reference/builtins/object
 */
function isSubset(ctx: BuiltinContext, whole: Value, sub: Value): boolean {
  if (whole instanceof RegoObject && sub instanceof RegoObject) return isObjectWithin(ctx, whole, sub);
  if (whole instanceof RegoSet && sub instanceof RegoSet) return sub.sorted().every((member) => whole.has(member));
  if (isArray(whole) && isArray(sub)) return isRunWithin(ctx, whole, sub);
  if (isArray(whole) && sub instanceof RegoSet) {
    const members = new RegoSet(whole);
    return sub.sorted().every((member) => members.has(member));
  }
  throw new BuiltinError(
    `both arguments object.subset must be of the same type or array and set, got ${typeName(whole)} and ${typeName(sub)}`,
    'eval_type_error',
  );
}

function isObjectWithin(ctx: BuiltinContext, whole: RegoObject, sub: RegoObject): boolean {
  return sub.sorted().every(([key, member]) => {
    ctx.checkDeadline();
    const other = whole.get(key);
    return other !== undefined && isMemberWithin(ctx, other, member);
  });
}

function isMemberWithin(ctx: BuiltinContext, whole: Value, sub: Value): boolean {
  const isNested =
    (whole instanceof RegoObject && sub instanceof RegoObject) ||
    (whole instanceof RegoSet && sub instanceof RegoSet) ||
    (isArray(whole) && (isArray(sub) || sub instanceof RegoSet));
  return isNested ? isSubset(ctx, whole, sub) : compare(whole, sub) === 0;
}

function isRunWithin(ctx: BuiltinContext, whole: readonly Value[], sub: readonly Value[]): boolean {
  for (let start = 0; start + sub.length <= whole.length; start++) {
    ctx.checkDeadline();
    if (sub.every((member, i) => compare(whole[start + i] as Value, member) === 0)) return true;
  }
  return false;
}

export const objectsBuiltins: readonly Builtin[] = [
  { name: 'object.subset', arity: 2, run: (ctx, whole = null, sub = null) => isSubset(ctx, whole, sub) },
];
