import type { Builtin } from './builtin.ts';

export const jsonSchemaBuiltins: readonly Builtin[] = [];
