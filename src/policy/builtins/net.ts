import type { Builtin } from './builtin.ts';

export const netBuiltins: readonly Builtin[] = [];
