import type { Builtin } from './builtin.ts';

export const semverBuiltins: readonly Builtin[] = [];
