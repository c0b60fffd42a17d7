import type { RE2JS } from 're2js';
import { compareNumbers, isNumber, type RegoNumber, toBigInt, toParts } from '../../../values/number.ts';
import { isArray, isRegoObject, type RegoObject, type Value } from '../../../values/value.ts';
import { HaltError } from '../builtin.ts';
import { compilePattern } from '../patterns.ts';
import { type Draft, membersOf, type References, readReferences, SchemaError, urlOf } from './references.ts';
import { doubleText } from './text.ts';

/*
 * JSON schemas of the drafts 4, 6 and 7 (https://json-schema.org/specification-links), read into a tree with the checks
 * and messages of OPA's validator. Members of objects come in their order, where OPA's order is random.
 */

/** A schema ready for use. Keywords that are not there are undefined; references may lead in circles. */
export type Schema = {
  draft: Draft;
  /** A schema that is just true or false. */
  pass?: boolean;
  /** Where `$ref` leads; then nothing else counts. */
  reference?: Schema;
  types: string[];
  properties: Map<string, Schema>;
  additionalProperties?: boolean | Schema;
  patternProperties: { readonly pattern: RE2JS; readonly schema: Schema }[];
  propertyNames?: Schema;
  dependencies: Map<string, readonly string[] | Schema>;
  /** One schema for all items, or one for each. */
  items?: Schema | Schema[];
  additionalItems?: boolean | Schema;
  multipleOf?: RegoNumber;
  minimum?: RegoNumber;
  exclusiveMinimum?: RegoNumber;
  maximum?: RegoNumber;
  exclusiveMaximum?: RegoNumber;
  counts: { [keyword in CountKeyword]?: bigint };
  pattern?: RE2JS;
  format?: string;
  required: string[];
  uniqueItems: boolean;
  contains?: Schema;
  /** As doubleText. */
  constant?: string;
  allowed?: string[];
  oneOf: Schema[];
  anyOf: Schema[];
  allOf: Schema[];
  not?: Schema;
  if?: Schema;
  then?: Schema;
  else?: Schema;
};

export type CountKeyword = 'minLength' | 'maxLength' | 'minProperties' | 'maxProperties' | 'minItems' | 'maxItems';

type Compiler = {
  readonly references: References;
  /** Schemas that references lead to, by absolute reference. */
  readonly referenced: Map<string, Schema>;
  readonly checkDeadline: () => void;
  /** How deep the schema at hand is in others, and where references lead. */
  depth: number;
};

const MAX_DEPTH = 300;

const TYPES = ['array', 'boolean', 'integer', 'number', 'null', 'object', 'string'];

const isSchema = (value: Value): boolean => typeof value === 'boolean' || isRegoObject(value);
const isAfter4 = ({ draft }: Schema): boolean => draft !== 4;
const isAfter6 = ({ draft }: Schema): boolean => draft === 7 || draft === 'any';

function invalidType(expected: string, given: string): SchemaError {
  return new SchemaError(`Invalid type. Expected: ${expected}, given: ${given}`);
}

const blank = (draft: Draft): Schema => ({
  draft,
  types: [],
  properties: new Map(),
  patternProperties: [],
  dependencies: new Map(),
  counts: {},
  required: [],
  uniqueItems: false,
  oneOf: [],
  anyOf: [],
  allOf: [],
});

/**
 * Throws SchemaError for what is no schema, HaltError for one that is nested too deep. Objects of `document` must be
 * no others' parts.
 */
export function compileSchema(document: Value, checkDeadline: () => void): Schema {
  const references = readReferences(document, checkDeadline);
  const compiler = { references, referenced: new Map(), checkDeadline, depth: 0 };
  const { draft = 'any' } = references.find('');
  return compile(compiler, document, blank(draft));
}

/** Reads a schema into `schema`, which others may refer to before it is complete. */
function compile(compiler: Compiler, document: Value, schema: Schema): Schema {
  compiler.checkDeadline();
  if (isAfter4(schema) && typeof document === 'boolean') {
    schema.pass = document;
    return schema;
  }
  if (!isRegoObject(document)) throw new SchemaError('Expected: Valid Schema, given: Invalid JSON');
  if (++compiler.depth > MAX_DEPTH) throw new HaltError('eval_limit_error', 'a schema is nested too deep');
  const child = (part: Value): Schema => compile(compiler, part, blank(schema.draft));
  readId(document, schema);
  readDefinitions(document, child);
  stringOf(document, 'title');
  stringOf(document, 'description');
  if (stringOf(document, '$ref') === undefined || !follow(compiler, document, schema)) {
    readKeywords(document, schema, child);
  }
  compiler.depth--;
  return schema;
}

function readKeywords(document: RegoObject, schema: Schema, child: Child): void {
  readTypes(document, schema);
  readObjectKeywords(document, schema, child);
  readItems(document, schema, child);
  readNumberKeywords(document, schema);
  readCounts(document, schema, ['minLength', 'maxLength']);
  readStringKeywords(document, schema);
  readCounts(document, schema, ['minProperties', 'maxProperties']);
  readRequired(document, schema);
  readCounts(document, schema, ['minItems', 'maxItems']);
  readArrayKeywords(document, schema, child);
  readValues(document, schema);
  readCombinations(document, schema, child);
}

type Child = (part: Value) => Schema;

function stringOf(document: RegoObject, key: string): string | undefined {
  const value = document.get(key);
  if (value !== undefined && typeof value !== 'string') throw invalidType('string', key);
  return value;
}

function listOf(document: RegoObject, key: string): readonly Value[] | undefined {
  const value = document.get(key);
  if (value !== undefined && !isArray(value)) throw new SchemaError(`${key} must be of an array`);
  return value;
}

function readId(document: RegoObject, { draft }: Schema): void {
  const key = draft === 4 || (draft === 'any' && document.has('id')) ? 'id' : '$id';
  const id = stringOf(document, key);
  if (id !== undefined) urlOf(id);
}

function readDefinitions(document: RegoObject, child: Child): void {
  const definitions = document.get('definitions');
  if (definitions === undefined) return;
  if (!isRegoObject(definitions)) throw invalidType('Array Of Schemas', 'definitions');
  for (const [, definition] of definitions) {
    if (!isSchema(definition)) throw invalidType('Array Of Schemas', 'definitions');
    child(definition);
  }
}

/** Whether nothing else of the schema is read: where its reference leads is read first instead. */
function follow(compiler: Compiler, document: RegoObject, schema: Schema): boolean {
  const written = compiler.references.absolute(document) ?? '';
  urlOf(written);
  const known = compiler.referenced.get(written);
  if (known !== undefined) {
    schema.reference = known;
    return false;
  }
  const target = blank(schema.draft);
  compiler.referenced.set(written, target);
  const found = compiler.references.find(written);
  if (found.draft !== undefined) target.draft = found.draft;
  if (!isSchema(found.document)) throw new SchemaError('Valid Schema must be of type object');
  compile(compiler, found.document, target);
  schema.reference = target;
  return true;
}

function readTypes(document: RegoObject, schema: Schema): void {
  const given = document.get('type');
  if (given === undefined) return;
  const names = isArray(given) ? given : [given];
  for (const name of names) {
    if (typeof name !== 'string') throw invalidType('type', 'string/Array Of Strings');
    if (!TYPES.includes(name)) {
      throw new SchemaError(
        `has a primitive type that is NOT VALID -- given: /${name}/ Expected valid values are:[${TYPES.join(' ')}]`,
      );
    }
    if (schema.types.includes(name)) throw new SchemaError(`${name} type is duplicated`);
    schema.types.push(name);
  }
}

function readObjectKeywords(document: RegoObject, schema: Schema, child: Child): void {
  const properties = document.get('properties');
  if (properties !== undefined) {
    if (!isRegoObject(properties)) throw new SchemaError('Properties must be of type object');
    for (const [key, property] of membersOf(properties)) schema.properties.set(key, child(property));
  }
  schema.additionalProperties = additional(document, 'additionalProperties', child);
  const patterns = document.get('patternProperties');
  if (patterns !== undefined) {
    if (!isRegoObject(patterns)) throw invalidType('Valid Schema', 'patternProperties');
    for (const [key, part] of membersOf(patterns)) {
      const pattern = compilePattern(key);
      if (typeof pattern === 'string') throw new SchemaError(`Invalid regex pattern '${key}'`);
      schema.patternProperties.push({ pattern, schema: child(part) });
    }
  }
  const names = document.get('propertyNames');
  if (names !== undefined && isAfter4(schema)) {
    if (!isSchema(names)) throw invalidType('Valid Schema', 'patternProperties');
    schema.propertyNames = child(names);
  }
  const dependencies = document.get('dependencies');
  if (dependencies === undefined) return;
  if (!isRegoObject(dependencies)) throw new SchemaError('dependencies must be of type object');
  for (const [key, needs] of membersOf(dependencies)) {
    schema.dependencies.set(key, isSchema(needs) ? child(needs) : neededKeys(needs));
  }
}

function neededKeys(needs: Value): readonly string[] {
  const isGood = (list: readonly Value[]): list is readonly string[] => list.every((key) => typeof key === 'string');
  if (isArray(needs) && isGood(needs)) return needs;
  throw new SchemaError('Dependency must be of type Schema Or Array Of Strings');
}

function additional(document: RegoObject, key: string, child: Child): boolean | Schema | undefined {
  const value = document.get(key);
  if (value === undefined || typeof value === 'boolean') return value;
  if (!isRegoObject(value)) throw invalidType('boolean/Valid Schema', key);
  return child(value);
}

function readItems(document: RegoObject, schema: Schema, child: Child): void {
  const items = document.get('items');
  if (items !== undefined) {
    const parts = isArray(items) ? items : [items];
    const children: Schema[] = [];
    for (const part of parts) {
      if (!isSchema(part)) throw invalidType('Valid Schema/Array Of Schemas', 'items');
      children.push(child(part));
    }
    schema.items = isArray(items) ? children : children[0];
  }
  schema.additionalItems = additional(document, 'additionalItems', child);
}

function readNumberKeywords(document: RegoObject, schema: Schema): void {
  const multiple = document.get('multipleOf');
  if (multiple !== undefined) {
    if (!isNumber(multiple)) throw invalidType('Number', 'multipleOf');
    if (compareNumbers(multiple, 0) <= 0) throw new SchemaError('multipleOf must be strictly greater than 0');
    schema.multipleOf = multiple;
  }
  readLimit(document, schema, 'minimum', 'exclusiveMinimum');
  readLimit(document, schema, 'maximum', 'exclusiveMaximum');
}

/** In draft 4 the exclusive keyword says whether the other one is exclusive; later it is a limit of its own. */
function readLimit(
  document: RegoObject,
  schema: Schema,
  key: 'minimum' | 'maximum',
  exclusiveKey: 'exclusiveMinimum' | 'exclusiveMaximum',
): void {
  const limit = document.get(key);
  if (limit !== undefined && !isNumber(limit)) throw new SchemaError(`${key} must be of a Number`);
  schema[key] = limit;
  const exclusive = document.get(exclusiveKey);
  if (exclusive === undefined) return;
  if (isNumber(exclusive) && schema.draft !== 4) {
    schema[exclusiveKey] = exclusive;
    return;
  }
  if (typeof exclusive !== 'boolean' || schema.draft === 6 || schema.draft === 7) {
    const expected = schema.draft === 4 ? 'boolean' : schema.draft === 'any' ? 'boolean/number' : 'number';
    throw invalidType(expected, exclusiveKey);
  }
  if (limit === undefined) throw new SchemaError(`${exclusiveKey} cannot be used without ${key}`);
  if (!exclusive) return;
  schema[exclusiveKey] = limit;
  schema[key] = undefined;
}

const MAX_COUNT = 2n ** 63n - 1n;
/** Integers of 64 bits have no more digits. */
const COUNT_DIGITS = 19;

function readCounts(document: RegoObject, schema: Schema, keys: readonly [CountKeyword, CountKeyword]): void {
  for (const key of keys) {
    const value = document.get(key);
    if (value === undefined) continue;
    const count = isNumber(value) && toParts(value).exponent < COUNT_DIGITS ? toBigInt(value) : undefined;
    if (count === undefined || count > MAX_COUNT || count < -MAX_COUNT) {
      throw new SchemaError(`${key} must be of an integer`);
    }
    if (count < 0n) throw new SchemaError(`${key} must be greater than or equal to 0`);
    schema.counts[key] = count;
  }
  const [least, most] = keys;
  // The validator leaves the two counts of items uncompared.
  if (least !== 'minItems' && (schema.counts[least] ?? 0n) > (schema.counts[most] ?? MAX_COUNT)) {
    throw new SchemaError(`${least} cannot be greater than ${most}`);
  }
}

function readStringKeywords(document: RegoObject, schema: Schema): void {
  const pattern = stringOf(document, 'pattern');
  if (pattern !== undefined) {
    const compiled = compilePattern(pattern);
    if (typeof compiled === 'string') throw new SchemaError('pattern must be a valid regex');
    schema.pattern = compiled;
  }
  schema.format = stringOf(document, 'format');
}

function readRequired(document: RegoObject, schema: Schema): void {
  const seen = new Set<string>();
  for (const key of listOf(document, 'required') ?? []) {
    if (typeof key !== 'string') throw invalidType('string', 'required');
    if (seen.has(key)) throw new SchemaError('required items must be unique');
    seen.add(key);
  }
  schema.required = [...seen];
}

function readArrayKeywords(document: RegoObject, schema: Schema, child: Child): void {
  const unique = document.get('uniqueItems') ?? false;
  if (typeof unique !== 'boolean') throw new SchemaError('uniqueItems must be of a boolean');
  schema.uniqueItems = unique;
  const contains = document.get('contains');
  if (contains !== undefined && isAfter4(schema)) schema.contains = child(contains);
}

function readValues(document: RegoObject, schema: Schema): void {
  const constant = document.get('const');
  if (constant !== undefined && isAfter4(schema)) schema.constant = doubleText(constant);
  const allowed = listOf(document, 'enum');
  if (allowed === undefined) return;
  const texts = new Set<string>();
  for (const value of allowed) {
    const text = doubleText(value);
    if (texts.has(text)) throw new SchemaError('enum items must be unique');
    texts.add(text);
  }
  schema.allowed = [...texts];
}

function readCombinations(document: RegoObject, schema: Schema, child: Child): void {
  for (const key of ['oneOf', 'anyOf', 'allOf'] as const) {
    schema[key] = (listOf(document, key) ?? []).map(child);
  }
  for (const key of ['not', 'if', 'then', 'else'] as const) {
    const part = document.get(key);
    if (part === undefined || (key !== 'not' && !isAfter6(schema))) continue;
    if (!isSchema(part)) throw new SchemaError(`${key} must be of an object`);
    schema[key] = child(part);
  }
}
