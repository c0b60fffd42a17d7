import type { Builtin } from './builtin.ts';

export const uuidBuiltins: readonly Builtin[] = [];
