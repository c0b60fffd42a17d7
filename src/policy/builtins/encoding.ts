import type { Builtin } from './builtin.ts';

export const encodingBuiltins: readonly Builtin[] = [];
