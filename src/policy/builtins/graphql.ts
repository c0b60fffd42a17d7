import type { Builtin } from './builtin.ts';

export const graphqlBuiltins: readonly Builtin[] = [];
