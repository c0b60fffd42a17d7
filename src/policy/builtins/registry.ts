import { awsBuiltins } from './aws.ts';
import type { Builtin } from './builtin.ts';
import { castsBuiltins } from './casts.ts';
import { cryptoBuiltins } from './crypto.ts';
import { encodingBuiltins } from './encoding.ts';
import { graphBuiltins } from './graph.ts';
import { graphqlBuiltins } from './graphql.ts';
import { httpBuiltins } from './http.ts';
import { jsonBuiltins } from './json.ts';
import { miscBuiltins } from './misc.ts';
import { netBuiltins } from './net.ts';
import { numbersBuiltins } from './numbers.ts';
import { objectsBuiltins } from './objects.ts';
import { regexBuiltins } from './regex.ts';
import { schemaBuiltins } from './schema.ts';
import { semverBuiltins } from './semver.ts';
import { sprintfBuiltins } from './sprintf.ts';
import { stringsBuiltins } from './strings.ts';
import { templateBuiltins } from './template.ts';
import { timeBuiltins } from './time.ts';
import { jwtBuiltins } from './tokens.ts';
import { unitsBuiltins } from './units.ts';
import { uriBuiltins } from './uri.ts';
import { uuidBuiltins } from './uuid.ts';
import { x509Builtins } from './x509.ts';
import { yamlBuiltins } from './yaml.ts';

const families: readonly (readonly Builtin[])[] = [
  awsBuiltins,
  castsBuiltins,
  cryptoBuiltins,
  encodingBuiltins,
  graphBuiltins,
  graphqlBuiltins,
  httpBuiltins,
  jsonBuiltins,
  jwtBuiltins,
  miscBuiltins,
  netBuiltins,
  numbersBuiltins,
  objectsBuiltins,
  regexBuiltins,
  schemaBuiltins,
  semverBuiltins,
  sprintfBuiltins,
  stringsBuiltins,
  templateBuiltins,
  timeBuiltins,
  unitsBuiltins,
  uriBuiltins,
  uuidBuiltins,
  x509Builtins,
  yamlBuiltins,
];

/** Every built-in that OPA's WASM leaves to its host, by OPA's name. */
export const hostBuiltins: ReadonlyMap<string, Builtin> = new Map(
  families.flat().map((builtin) => [builtin.name, builtin]),
);

/** Those that wait for the network. */
export const waitingBuiltins: ReadonlySet<string> = new Set(['http.send', 'net.lookup_ip_addr']);
