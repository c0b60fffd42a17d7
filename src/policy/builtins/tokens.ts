import type { Builtin } from './builtin.ts';

export const jwtBuiltins: readonly Builtin[] = [];
