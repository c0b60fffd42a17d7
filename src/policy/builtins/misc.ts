import { dump } from '../../values/dump.ts';
import { RegoSet, type Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, HaltError } from './builtin.ts';
import { arrayAt, stringAt } from './operands.ts';

/*
 * Built-ins about the evaluation itself. https://www.openpolicyagent.org/docs/policy-reference/builtins/opa
 */

const MAX_PRINT_CHARS = 65_536;
const MAX_LINES = 100;

/**
 * What the compiler makes of `print`: an array with a set for each argument, of the values that it can have. One line for
 * each combination; an argument without a value prints as `<undefined>`.
 */
function printLines(ctx: BuiltinContext, operands: readonly Value[]): Value {
  let lines: string[] = [''];
  for (const operand of operands) {
    const values = operand instanceof RegoSet ? operand.sorted() : [operand];
    const texts =
      values.length === 0 ? ['<undefined>'] : values.map((value) => (typeof value === 'string' ? value : dump(value)));
    lines = lines.flatMap((line) => texts.map((text) => (line === '' ? text : `${line} ${text}`))).slice(0, MAX_LINES);
  }
  for (const line of lines) ctx.print(line.slice(0, MAX_PRINT_CHARS));
  return true;
}

function trace(ctx: BuiltinContext, note: string): Value {
  ctx.print(note.slice(0, MAX_PRINT_CHARS));
  return true;
}

/** The compiler replaces calls of these; one that is left cannot be answered. */
const compiledAway = (name: string, arity: number): Builtin => ({
  name,
  arity,
  run: () => {
    throw new HaltError('eval_builtin_error', `${name} has to be replaced when the policy is compiled`);
  },
});

export const miscBuiltins: readonly Builtin[] = [
  { name: 'opa.runtime', arity: 0, run: (ctx) => ctx.runtime },
  { name: 'trace', arity: 1, run: (ctx, note) => trace(ctx, stringAt(1, note)) },
  { name: 'internal.print', arity: 1, run: (ctx, operands) => printLines(ctx, arrayAt(1, operands)) },
  { name: 'internal.test_case', arity: 1, run: () => true },
  compiledAway('rego.metadata.chain', 0),
  compiledAway('rego.metadata.rule', 0),
];
