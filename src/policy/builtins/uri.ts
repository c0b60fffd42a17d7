import type { Builtin } from './builtin.ts';

export const uriBuiltins: readonly Builtin[] = [];
