import type { Builtin } from './builtin.ts';

export const awsBuiltins: readonly Builtin[] = [];
