import type { Builtin } from './builtin.ts';

export const yamlBuiltins: readonly Builtin[] = [];
