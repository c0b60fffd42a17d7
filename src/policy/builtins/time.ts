import type { Builtin } from './builtin.ts';

export const timeBuiltins: readonly Builtin[] = [];
