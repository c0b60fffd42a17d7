import type { Builtin } from './builtin.ts';

export const cryptoBuiltins: readonly Builtin[] = [];
