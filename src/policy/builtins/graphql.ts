import { LRUCache } from 'lru-cache';
import { dump } from '../../values/dump.ts';
import { isRegoObject, RegoObject, type Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError } from './builtin.ts';
import { documentValue, type QueryDocument, type SchemaDocument } from './graphql/document.ts';
import { queryFromObject, schemaFromObject } from './graphql/objects.ts';
import { parseQuery } from './graphql/query-parser.ts';
import { buildSchema } from './graphql/schema.ts';
import { parseSchema } from './graphql/schema-parser.ts';
import type { Schema } from './graphql/types.ts';
import { validateQuery } from './graphql/validate.ts';
import { stringAt, wrongType } from './operands.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/graphql. Queries and schemas are text, or objects such as
 * these built-ins make of text.
 */

/** How many schemas are kept with what was made of them, which is much larger than their text; and the text of all. */
const MAX_CACHED_SCHEMAS = 20;
const MAX_CACHED_CHARS = 4 * 1_048_576;

type LoadedSchema = {
  readonly document: SchemaDocument;
  /** As policies see it; once somebody has asked. */
  value?: Value;
  /** Once somebody has asked and it was found good. */
  schema?: Schema;
};

function readQuery(ctx: BuiltinContext, query: Value | undefined): QueryDocument {
  if (typeof query === 'string') return parseQuery(query, ctx.checkDeadline);
  if (isRegoObject(query)) return queryFromObject(ctx, query);
  throw wrongType(1, 'one of {string, object}', query ?? null);
}

function cachedSchemas(ctx: BuiltinContext): LRUCache<string, LoadedSchema> {
  const known = ctx.cache.get('graphql.schemas') as LRUCache<string, LoadedSchema> | undefined;
  if (known !== undefined) return known;
  const schemas = new LRUCache<string, LoadedSchema>({
    max: MAX_CACHED_SCHEMAS,
    maxSize: MAX_CACHED_CHARS,
    sizeCalculation: (_schema, key) => key.length,
  });
  ctx.cache.set('graphql.schemas', schemas);
  return schemas;
}

function loadSchema(ctx: BuiltinContext, position: number, schema: Value | undefined): LoadedSchema {
  const isText = typeof schema === 'string';
  if (!isText && !isRegoObject(schema)) throw wrongType(position, 'one of {string, object}', schema ?? null);
  const schemas = cachedSchemas(ctx);
  const key = isText ? `text ${schema}` : `object ${dump(schema)}`;
  const known = schemas.get(key);
  if (known !== undefined) return known;
  const document = isText ? parseSchema(schema, ctx.checkDeadline) : schemaFromObject(ctx, schema);
  const loaded: LoadedSchema = { document };
  schemas.set(key, loaded);
  return loaded;
}

function schemaOf(ctx: BuiltinContext, loaded: LoadedSchema): Schema {
  loaded.schema ??= buildSchema(loaded.document, ctx.checkDeadline);
  return loaded.schema;
}

function schemaValue(loaded: LoadedSchema): Value {
  loaded.value ??= documentValue(loaded.document);
  return loaded.value;
}

/** [query, schema] as objects, when the query is good for the schema. Throws BuiltinError, HaltError. */
function parseBoth(ctx: BuiltinContext, query: Value | undefined, schema: Value | undefined): readonly [Value, Value] {
  const document = readQuery(ctx, query);
  const loaded = loadSchema(ctx, 2, schema);
  validateQuery(schemaOf(ctx, loaded), document, ctx.checkDeadline);
  return [documentValue(document), schemaValue(loaded)];
}

/** What `work` gives, or `otherwise` when it cannot be done. */
function orElse<T>(work: () => T, otherwise: T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof BuiltinError) return otherwise;
    throw error;
  }
}

const UNVERIFIED: Value = [false, new RegoObject(), new RegoObject()];

export const graphqlBuiltins: readonly Builtin[] = [
  {
    name: 'graphql.parse_query',
    arity: 1,
    run: (ctx, query) => documentValue(parseQuery(stringAt(1, query), ctx.checkDeadline)),
  },
  {
    name: 'graphql.parse_schema',
    arity: 1,
    run: (ctx, schema) => schemaValue(loadSchema(ctx, 1, stringAt(1, schema))),
  },
  { name: 'graphql.parse', arity: 2, run: (ctx, query, schema) => parseBoth(ctx, query, schema) },
  {
    name: 'graphql.parse_and_verify',
    arity: 2,
    run: (ctx, query, schema) => orElse(() => [true, ...parseBoth(ctx, query, schema)], UNVERIFIED),
  },
  {
    name: 'graphql.is_valid',
    arity: 2,
    run: (ctx, query, schema) =>
      orElse(() => {
        const document = readQuery(ctx, query);
        validateQuery(schemaOf(ctx, loadSchema(ctx, 2, schema)), document, ctx.checkDeadline);
        return true;
      }, false),
  },
  {
    name: 'graphql.schema_is_valid',
    arity: 1,
    run: (ctx, schema) =>
      orElse(() => {
        schemaOf(ctx, loadSchema(ctx, 1, schema));
        return true;
      }, false),
  },
];
