import { createReader, functionNames, importsOf, leb, SECTION, type Section } from './wasm-binary.ts';

/*
 * Functions of the module that stand for built-ins, and do not always do what they do in Go: they are found by their names,
 * which OPA leaves in the module, and made to call the host's built-in instead, or for those arguments only that need it.
 * A module without names keeps its own.
 */

/** What decides, from the second argument's address in local 1, whether the host is to be called; always when undefined. */
type Redirection = { readonly builtin: string; readonly when?: readonly number[] };

const SET = 0x07;
/** The byte at the address, a value's type, is that of a set. */
const isSet = [0x20, 0x01, 0x2d, 0x00, 0x00, 0x41, SET, 0x46];
/** The word at the address + 4, a text's length, is 0. */
const isEmpty = [0x20, 0x01, 0x28, 0x02, 0x04, 0x45];

/** By the name of the function. */
const REDIRECTED: ReadonlyMap<string, Redirection> = new Map([
  // An empty text to be replaced makes it loop for ever.
  ['opa_strings_replace', { builtin: 'replace', when: isEmpty }],
  // Sets come in the order of their hashes.
  ['opa_strings_concat', { builtin: 'concat', when: isSet }],
  // So do the keys of objects; and Go escapes more.
  ['opa_json_marshal', { builtin: 'json.marshal' }],
  // IPv4 addresses in IPv6 are none of their IPv4 network.
  ['opa_cidr_contains', { builtin: 'net.cidr_contains' }],
  ['opa_cidr_intersects', { builtin: 'net.cidr_intersects' }],
  // Numbers beyond 31 bits end the evaluation.
  ['opa_strings_format_int', { builtin: 'format_int' }],
]);

/** Those that the module names itself are counted from 0. */
const FIRST_ID = 1_000_000;

/** By the number that the module calls them with. */
export const redirectedBuiltins: ReadonlyMap<number, string> = new Map(
  [...REDIRECTED.values()].map(({ builtin }, i) => [FIRST_ID + i, builtin]),
);

/** What stands before the code of a function, or in its stead when it `replaces` it. */
export type Prefix = { readonly code: Uint8Array; readonly replaces: boolean };

/** By the place of the function in the code section. Throws EngineError when the module is cut short. */
export function redirections(sections: readonly Section[]): ReadonlyMap<number, Prefix> {
  const find = (id: number): Uint8Array | undefined => sections.find((section) => section.id === id)?.content;
  const [types, imports, functions] = [find(SECTION.type), find(SECTION.import), find(SECTION.function)];
  const prefixes = new Map<number, Prefix>();
  if (types === undefined || imports === undefined || functions === undefined) return prefixes;
  const imported = importsOf(imports, 'function');
  const parameters = parametersOf(types);
  const typeOf = numbersOf(functions);
  const names = [...REDIRECTED.keys()];
  for (const [index, name] of functionNames(sections)) {
    const redirection = REDIRECTED.get(name);
    if (redirection === undefined) continue;
    const place = index - imported.length;
    const arity = parameters[typeOf[place] ?? -1];
    const target = arity === undefined ? -1 : imported.indexOf(`opa_builtin${arity}`);
    if (arity === undefined || target < 0) continue;
    const call = callOf(FIRST_ID + names.indexOf(name), arity, target);
    const { when } = redirection;
    // if …; return …; end
    const code = when === undefined ? call : [...when, 0x04, 0x40, ...call, 0x0f, 0x0b];
    prefixes.set(place, { code: Uint8Array.from(code), replaces: when === undefined });
  }
  return prefixes;
}

/** opa_builtinN(id, 0, the function's own parameters) */
function callOf(id: number, arity: number, target: number): readonly number[] {
  const given = Array.from({ length: arity }, (_, i) => [0x20, i]).flat();
  // The numbers of i32.const are signed; this one fits into three groups of seven bits.
  const signed = [(id & 0x7f) | 0x80, ((id >> 7) & 0x7f) | 0x80, (id >> 14) & 0x3f];
  return [0x41, ...signed, 0x41, 0x00, ...given, 0x10, ...leb(target)];
}

/** How many parameters each type has, when all of them and the one result are i32; otherwise undefined. */
function parametersOf(types: Uint8Array): readonly (number | undefined)[] {
  const reader = createReader(types, 0);
  return Array.from({ length: reader.number() }, () => {
    const form = reader.byte();
    const parameters = Array.from({ length: reader.number() }, () => reader.byte());
    const results = Array.from({ length: reader.number() }, () => reader.byte());
    const isPlain = form === 0x60 && results.length === 1 && [...parameters, ...results].every((type) => type === 0x7f);
    return isPlain ? parameters.length : undefined;
  });
}

function numbersOf(vector: Uint8Array): readonly number[] {
  const reader = createReader(vector, 0);
  return Array.from({ length: reader.number() }, () => reader.number());
}
