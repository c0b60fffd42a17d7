import type { Builtin } from './builtin.ts';

export const unitsBuiltins: readonly Builtin[] = [];
