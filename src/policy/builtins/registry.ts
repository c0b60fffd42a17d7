import type { Builtin } from './builtin.ts';
import { castsBuiltins } from './casts.ts';
import { cryptoBuiltins } from './crypto.ts';
import { encodingBuiltins } from './encoding.ts';
import { graphBuiltins } from './graph.ts';
import { jsonBuiltins } from './json.ts';
import { miscBuiltins } from './misc.ts';
import { netBuiltins } from './net.ts';
import { numbersBuiltins } from './numbers.ts';
import { objectsBuiltins } from './objects.ts';
import { semverBuiltins } from './semver.ts';
import { sprintfBuiltins } from './sprintf.ts';
import { stringsBuiltins } from './strings.ts';
import { timeBuiltins } from './time.ts';
import { jwtBuiltins } from './tokens.ts';
import { unitsBuiltins } from './units.ts';
import { uuidBuiltins } from './uuid.ts';

const families: readonly (readonly Builtin[])[] = [
  castsBuiltins,
  cryptoBuiltins,
  encodingBuiltins,
  graphBuiltins,
  jsonBuiltins,
  jwtBuiltins,
  miscBuiltins,
  netBuiltins,
  numbersBuiltins,
  objectsBuiltins,
  semverBuiltins,
  sprintfBuiltins,
  stringsBuiltins,
  timeBuiltins,
  unitsBuiltins,
  uuidBuiltins,
];

/** Every built-in that OPA's WASM leaves to its host, by OPA's name. */
export const hostBuiltins: ReadonlyMap<string, Builtin> = new Map(
  families.flat().map((builtin) => [builtin.name, builtin]),
);
