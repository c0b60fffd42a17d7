import type { Json } from '../../model/json.ts';
import { tokenBuiltins } from './tokens.ts';

/** A built-in function that OPA's WASM leaves to the host. Undefined or an exception: the call is undefined. */
export type HostBuiltin = (...args: readonly Json[]) => Json | undefined;

/** Every host built-in by OPA's name. */
export const hostBuiltins: ReadonlyMap<string, HostBuiltin> = new Map(Object.entries(tokenBuiltins));
