import type { Builtin } from './builtin.ts';

export const httpBuiltins: readonly Builtin[] = [];
