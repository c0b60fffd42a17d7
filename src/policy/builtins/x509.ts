import type { Builtin } from './builtin.ts';

export const x509Builtins: readonly Builtin[] = [];
