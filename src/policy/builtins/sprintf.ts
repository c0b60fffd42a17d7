import type { Builtin } from './builtin.ts';

export const sprintfBuiltins: readonly Builtin[] = [];
