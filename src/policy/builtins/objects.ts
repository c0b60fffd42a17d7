import type { Builtin } from './builtin.ts';

export const objectsBuiltins: readonly Builtin[] = [];
