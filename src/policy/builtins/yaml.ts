import type { Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError } from './builtin.ts';
import { stringAt } from './operands.ts';
import { readYaml } from './yaml/read.ts';
import { writeYaml } from './yaml/write.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/encoding
 */

function isValid(ctx: BuiltinContext, value: Value): boolean {
  if (typeof value !== 'string') return false;
  try {
    readYaml(value, ctx.checkDeadline);
    return true;
  } catch (error) {
    if (error instanceof BuiltinError) return false;
    throw error;
  }
}

export const yamlBuiltins: readonly Builtin[] = [
  { name: 'yaml.marshal', arity: 1, run: (ctx, value = null) => writeYaml(value, ctx.checkDeadline) },
  { name: 'yaml.unmarshal', arity: 1, run: (ctx, text) => readYaml(stringAt(1, text), ctx.checkDeadline) },
  { name: 'yaml.is_valid', arity: 1, run: (ctx, text = null) => isValid(ctx, text) },
];
