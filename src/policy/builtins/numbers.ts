import type { Builtin } from './builtin.ts';

export const numbersBuiltins: readonly Builtin[] = [];
