import type { Builtin } from './builtin.ts';

export const castsBuiltins: readonly Builtin[] = [];
