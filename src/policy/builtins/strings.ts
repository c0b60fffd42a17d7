import type { Builtin } from './builtin.ts';

export const stringsBuiltins: readonly Builtin[] = [];
