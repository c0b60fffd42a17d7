import type { Builtin } from './builtin.ts';

export const jsonBuiltins: readonly Builtin[] = [];
