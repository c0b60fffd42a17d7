import type { Builtin } from './builtin.ts';

export const templatesBuiltins: readonly Builtin[] = [];
