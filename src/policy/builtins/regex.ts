import type { Builtin } from './builtin.ts';

export const regexBuiltins: readonly Builtin[] = [];
