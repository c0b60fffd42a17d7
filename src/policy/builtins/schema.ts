import { dumpJson, keyText } from '../../values/dump.ts';
import { parseJson, ValueSyntaxError } from '../../values/parse.ts';
import { isArray, RegoObject, RegoSet, type Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError, HaltError } from './builtin.ts';
import { compileSchema, type Schema } from './schema/compile.ts';
import { SchemaError } from './schema/references.ts';
import { validate } from './schema/validate.ts';

/*
 * JSON schemas of the drafts 4, 6 and 7. https://www.openpolicyagent.org/docs/policy-reference/builtins/object
 */

const MAX_SCHEMA_CHARS = 1_048_576;

/** JSON text is read; an object or an array is taken as JSON has it. Throws SchemaError for anything else. */
function documentOf(value: Value): Value {
  if (typeof value === 'string') return readJson(value);
  requireDocument(value);
  return plain(value);
}

function requireDocument(value: Value): void {
  if (isArray(value) || value instanceof RegoObject) return;
  throw new SchemaError('wrong type, expected string or object');
}

function readJson(text: string): Value {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof ValueSyntaxError) throw new SchemaError('invalid JSON string');
    throw error;
  }
}

/** Sets become arrays and keys strings. */
function plain(value: Value): Value {
  if (value instanceof RegoSet) return value.sorted().map(plain);
  if (value instanceof RegoObject) {
    return new RegoObject(value.sorted().map(([key, member]) => [keyText(key), plain(member)] as const));
  }
  return isArray(value) ? value.map(plain) : value;
}

/** Throws SchemaError, HaltError. */
function schemaOf(ctx: BuiltinContext, value: Value): Schema {
  if (typeof value !== 'string') requireDocument(value);
  const text = typeof value === 'string' ? value : dumpJson(value);
  if (text.length > MAX_SCHEMA_CHARS) throw new HaltError('eval_limit_error', 'the schema is too long');
  const cacheKey = `json.match_schema:${text}`;
  const known = ctx.cache.get(cacheKey) as Schema | undefined;
  if (known !== undefined) return known;
  // Read anew: the compiler tells objects apart by their identity.
  const schema = compileSchema(readJson(text), ctx.checkDeadline);
  ctx.cache.set(cacheKey, schema);
  return schema;
}

/** Whether it is a schema, and what is wrong with it. */
function verify(ctx: BuiltinContext, value: Value): Value {
  try {
    schemaOf(ctx, value);
    return [true, null];
  } catch (error) {
    if (error instanceof SchemaError) return [false, `jsonschema: ${error.message}`];
    throw error;
  }
}

/** Whether a document matches, and all that is wrong with it. Throws BuiltinError when either cannot be read. */
function match(ctx: BuiltinContext, value: Value, schemaValue: Value): Value {
  try {
    const document = documentOf(value);
    const violations = validate(schemaOf(ctx, schemaValue), document, ctx);
    const errors = violations.map(({ field, type, desc }) =>
      RegoObject.from({ error: `${field}: ${desc}`, type, field, desc }),
    );
    return [errors.length === 0, errors];
  } catch (error) {
    if (error instanceof SchemaError) throw new BuiltinError(error.message);
    throw error;
  }
}

export const schemaBuiltins: readonly Builtin[] = [
  { name: 'json.verify_schema', arity: 1, run: (ctx, schema = null) => verify(ctx, schema) },
  {
    name: 'json.match_schema',
    arity: 2,
    run: (ctx, document = null, schema = null) => match(ctx, document, schema),
  },
];
