import type { Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError } from './builtin.ts';
import { stringAt } from './operands.ts';
import { readYaml } from './yaml/read.ts';
import { writeYaml } from './yaml/write.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/encoding
 */

/** What the reader takes for a character where it is slow, and at least where aliases may multiply it, ms. */
const CHARACTER_MS = 2e-3;
const ALIASES_MS = 10;

function read(ctx: BuiltinContext, text: string): Value {
  ctx.expectWork(text.length * CHARACTER_MS + (/[&*]/.test(text) ? ALIASES_MS : 0));
  return readYaml(text, ctx.checkDeadline);
}

function isValid(ctx: BuiltinContext, value: Value): boolean {
  if (typeof value !== 'string') return false;
  try {
    read(ctx, value);
    return true;
  } catch (error) {
    if (error instanceof BuiltinError) return false;
    throw error;
  }
}

export const yamlBuiltins: readonly Builtin[] = [
  { name: 'yaml.marshal', arity: 1, run: (ctx, value = null) => writeYaml(value, ctx.checkDeadline) },
  { name: 'yaml.unmarshal', arity: 1, run: (ctx, text) => read(ctx, stringAt(1, text)) },
  { name: 'yaml.is_valid', arity: 1, run: (ctx, text = null) => isValid(ctx, text) },
];
