import type { Builtin } from './builtin.ts';

export const miscBuiltins: readonly Builtin[] = [];
