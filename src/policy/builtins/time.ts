import { number } from '../../values/number.ts';
import type { Builtin } from './builtin.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/time
 */

export const timeBuiltins: readonly Builtin[] = [{ name: 'time.now_ns', arity: 0, run: (ctx) => number(ctx.nowNs) }];
