import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { emptyObject, stringify } from '../values/json.ts';

type Told = { readonly builtin: string; readonly args: Json; readonly answer: Json };

/** As OPA's `nd_builtin_cache` has it: by built-in, and by its arguments as JSON text. Undefined without any. */
export function builtinCache(told: readonly Told[]): JsonObject | undefined {
  if (told.length === 0) return undefined;
  const byBuiltin = Object.create(null) as { [builtin: string]: MutableJsonObject };
  for (const { builtin, args, answer } of told) {
    byBuiltin[builtin] ??= emptyObject();
    byBuiltin[builtin][stringify(args)] = answer;
  }
  return byBuiltin;
}
