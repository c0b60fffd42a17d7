import { isArray, isRegoObject, RegoObject, type Value } from '../../../values/value.ts';
import { parseUrl, resolveUrl, spellUrl, type Url, UrlError } from '../uri/url.ts';

/*
 * `$id`, `$ref` and `$schema` of JSON schemas, resolved as OPA's validator does it
 * (https://json-schema.org/draft-07/draft-handrews-json-schema-01, section 8). Nothing is ever fetched.
 */

/** A schema cannot be used. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

/** A schema that does not say its draft may use what any of them has. */
export type Draft = 4 | 6 | 7 | 'any';

export type SchemaDocument = { readonly document: Value; readonly draft: Draft | undefined };

export type References = {
  /** The absolute reference that a schema's `$ref` spells. */
  readonly absolute: (schema: RegoObject) => string | undefined;
  /** What an absolute reference leads to. Throws SchemaError. */
  readonly find: (reference: string) => SchemaDocument;
};

const DRAFTS: ReadonlyMap<string, Draft> = new Map<string, Draft>([
  ['http://json-schema.org/draft-04/schema', 4],
  ['http://json-schema.org/draft-06/schema', 6],
  ['http://json-schema.org/draft-07/schema', 7],
]);

/** Throws SchemaError. */
export function urlOf(reference: string): Url {
  try {
    return parseUrl(reference);
  } catch (error) {
    if (error instanceof UrlError) throw new SchemaError(error.message);
    throw error;
  }
}

/** The draft that a whole schema names. Throws SchemaError when it is no schema. */
export function draftOf(document: Value): Draft | undefined {
  if (typeof document === 'boolean') return undefined;
  if (!isRegoObject(document)) throw new SchemaError('schema is invalid');
  const named = document.get('$schema');
  if (named === undefined) return undefined;
  if (typeof named !== 'string') throw new SchemaError('$schema must be of type string');
  return DRAFTS.get(spellUrl(urlOf(named)));
}

/** An object's members; JSON's keys are strings. */
export const membersOf = (object: RegoObject): readonly (readonly [string, Value])[] =>
  object.sorted() as readonly (readonly [string, Value])[];

/**
 * Finds every `$id` and `$ref` of a schema. Objects of the schema must be no others' parts, which is so for what was
 * just read from text. Throws SchemaError for an id that is there twice.
 */
export function readReferences(root: Value, checkDeadline: () => void): References {
  const documents = new Map<string, SchemaDocument>();
  const absolute = new Map<RegoObject, string>();
  const draft = draftOf(root);

  function resolve(base: Url, reference: string): Url | undefined {
    try {
      return parseUrl(spellUrl(resolveUrl({ ...base, fragment: '' }, parseUrl(reference))));
    } catch (error) {
      if (error instanceof UrlError) return undefined;
      throw error;
    }
  }

  function scopeOf(schema: RegoObject, base: Url): Url {
    const id = schema.get(schema.has('id') ? 'id' : '$id');
    if (typeof id !== 'string') return base;
    const scope = resolve(base, id);
    if (scope === undefined) return base;
    const name = spellUrl(scope);
    if (documents.has(name)) throw new SchemaError(`Reference already exists: "${name}"`);
    documents.set(name, { document: schema, draft });
    return scope;
  }

  function walk(value: Value, base: Url): void {
    if (isArray(value)) {
      for (const member of value) walk(member, base);
    } else if (value instanceof RegoObject) {
      checkDeadline();
      const scope = scopeOf(value, base);
      const reference = value.get('$ref');
      if (typeof reference === 'string') {
        const target = resolve(scope, reference);
        absolute.set(value, target === undefined ? reference : spellUrl(target));
      }
      for (const [key, member] of membersOf(value)) walkMember(key, member, scope);
    }
  }

  function walkMember(key: string, member: Value, scope: Url): void {
    if (key === 'const' || key === 'enum') return;
    if (key !== 'properties' && key !== 'dependencies' && key !== 'patternProperties') walk(member, scope);
    else if (member instanceof RegoObject) for (const [, schema] of member) walk(schema, scope);
  }

  function find(reference: string): SchemaDocument {
    const known = documents.get(reference);
    if (known !== undefined) return known;
    const url = urlOf(reference);
    const whole = spellUrl({ ...url, fragment: '' });
    const document = documents.get(whole);
    if (document !== undefined) {
      const found = { document: atPointer(document.document, url.fragment), draft: document.draft };
      documents.set(reference, found);
      return found;
    }
    const isFile = url.scheme === 'file';
    const isCanonical = isFile ? url.path.startsWith('/') : url.scheme !== '' && url.host !== '';
    if (!isCanonical) throw new SchemaError(`Reference ${reference} must be canonical`);
    throw new SchemaError(`remote reference loading disabled: ${reference}`);
  }

  walk(root, urlOf(''));
  documents.set('', { document: root, draft });
  return { absolute: (schema) => absolute.get(schema), find };
}

/** RFC 6901; a fragment of another form is the whole document. Throws SchemaError. */
function atPointer(document: Value, bytes: string): Value {
  const fragment = Buffer.from(bytes, 'latin1').toString('utf8');
  if (!fragment.startsWith('/')) return document;
  let found = document;
  for (const token of fragment.slice(1).split('/')) {
    if (isRegoObject(found)) {
      const key = token.replaceAll('~1', '/').replaceAll('~0', '~');
      const member = found.get(key);
      if (member === undefined) throw new SchemaError(`Object has no key '${key}'`);
      found = member;
    } else if (isArray(found)) {
      if (!/^[+-]?\d{1,18}$/.test(token)) throw new SchemaError(`Invalid array index '${token}'`);
      const member = found[Number(token)];
      if (member === undefined) {
        throw new SchemaError(`Out of bound array[0,${found.length}] index '${Number(token)}'`);
      }
      found = member;
    } else {
      throw new SchemaError(`Invalid token reference '${token}'`);
    }
  }
  return found;
}
