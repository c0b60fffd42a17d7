import type { Builtin } from './builtin.ts';

export const graphBuiltins: readonly Builtin[] = [];
