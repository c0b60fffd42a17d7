import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BuiltinError, HaltError } from '../../../src/policy/builtins/builtin.ts';
import { schemaBuiltins } from '../../../src/policy/builtins/schema.ts';
import { createContext, defaultHostOptions } from '../../../src/policy/engine/context.ts';
import { parse, parseJson } from '../../../src/values/parse.ts';
import { isArray, isRegoObject, type Value } from '../../../src/values/value.ts';

function call(name: string, ...args: readonly Value[]): Value | undefined {
  const builtin = schemaBuiltins.find((known) => known.name === name);
  assert.ok(builtin, name);
  return builtin.run(createContext(defaultHostOptions(), undefined), ...args);
}

/** `type field: desc` of each error. */
function errorsOf(document: string, schema: string): readonly string[] {
  const result = call('json.match_schema', parse(document), parse(schema));
  assert.ok(isArray(result) && isArray(result[1]));
  assert.equal(result[0], result[1].length === 0);
  return result[1].map((error) => {
    assert.ok(isRegoObject(error));
    assert.equal(error.get('error'), `${error.get('field')}: ${error.get('desc')}`);
    return `${error.get('type')} ${error.get('error')}`;
  });
}

const verify = (schema: string): Value | undefined => call('json.verify_schema', parse(schema));

// Results are those of OPA 1.22.2.
describe('json.match_schema', () => {
  for (const [document, schema, ...want] of [
    ['{"a": 9007199254740993}', '{"properties": {"a": {"multipleOf": 2}}}', 'multiple_of a: Must be a multiple of 2'],
    ['[0.3]', '{"items": {"multipleOf": 0.1}}'],
    [
      '{}',
      '{"minProperties": 1, "required": ["__proto__"]}',
      'array_min_properties (Root): Must have at least 1 properties',
      'required (Root): __proto__ is required',
    ],
    ['`1`', '{"minimum": 1234567}', 'number_gte (Root): Must be greater than or equal to 1.234567e+06'],
    ['`"😀"`', '{"maxLength": 1}'],
    ['[1, 1.0]', '{"uniqueItems": true}', 'unique (Root): array items[0,1] must be unique'],
    ['[{1, 2}]', '{"items": {"type": "string"}}', 'invalid_type 0: Invalid type. Expected: string, given: array'],
    ['{1: 2}', '{"propertyNames": {"const": "1"}}'],
    [
      '{"a": {"a": 1}}',
      '{"properties": {"a": {"$ref": "#"}}, "type": "object"}',
      'invalid_type a.a: Invalid type. Expected: object, given: integer',
    ],
    [
      '["x"]',
      '{"anyOf": [{"type": "object"}, {"items": {"enum": ["<", 1]}}]}',
      'number_any_of (Root): Must validate at least one schema (anyOf)',
      'enum 0: 0 must be one of the following: "\\u003c", 1',
    ],
    ['["2020-01-01T1:00:00Z", "A <a@b>", "a\\\\b"]', '{"items": [{"format": "date-time"}, {"format": "email"}]}'],
    ['["(?=a)"]', '{"items": {"format": "regex"}}', "format 0: Does not match format 'regex'"],
    [
      '{"a.b": {"c": 1}}',
      '{"properties": {"a.b": {"properties": {"c": false}}}}',
      'false a.b.c: False always fails validation',
    ],
  ] as readonly (readonly [string, string, ...string[]])[]) {
    test(`${document} and ${schema}`, () => assert.deepEqual(errorsOf(document, schema), want));
  }

  for (const [document, schema] of [
    ['1', '{}'],
    ['`{`', '{}'],
    ['{}', '{"minLength": -1}'],
    ['{}', '{"$ref": "http://127.0.0.1:1/"}'],
    ['{}', '{"$ref": "file:///etc/passwd"}'],
    ['{}', '{"pattern": "(?=a)"}'],
  ] as const) {
    test(`${document} and ${schema} cannot be answered`, () => {
      assert.throws(() => errorsOf(document, schema), BuiltinError);
    });
  }
});

describe('json.verify_schema', () => {
  for (const [schema, want] of [
    ['{"$ref": "#/a"}', "Object has no key 'a'"],
    ['{"$ref": "a"}', 'Reference /a must be canonical'],
    ['{"definitions": {"a": {"$id": "x"}, "b": {"$id": "x"}}}', 'Reference already exists: "/x"'],
    [
      '{"$schema": "http://json-schema.org/draft-04/schema#", "items": true}',
      'Expected: Valid Schema, given: Invalid JSON',
    ],
    ['{"minimum": 1, "exclusiveMinimum": 2, "enum": [1, 1.0]}', 'enum items must be unique'],
    ['7', 'wrong type, expected string or object'],
    ['`x`', 'invalid JSON string'],
  ] as const) {
    test(schema, () => assert.deepEqual(verify(schema), [false, `jsonschema: ${want}`]));
  }
});

describe('JSON schemas that ask for too much', () => {
  const doubling = Array.from(
    { length: 40 },
    (_, i) => `"a${i}": {"allOf": [{"$ref": "#/definitions/a${i + 1}"}, ${'{"$ref": "#/definitions/a'}${i + 1}"}]}`,
  );

  for (const [what, document, schema] of [
    ['go in a circle', '{}', '{"$ref": "#"}'],
    ['go in a circle of two', '{}', '{"allOf": [{"$ref": "#"}]}'],
    ['are too many', '{}', `{"$ref": "#/definitions/a0", "definitions": {${doubling.join()}, "a40": {}}}`],
    ['are nested too deep', '{}', '{"not": '.repeat(900) + '{}'.padEnd(902, '}')],
    [
      'are a chain',
      '{}',
      `{"$ref": "#/definitions/a0", "definitions": {${Array.from({ length: 2_000 }, (_, i) => `"a${i}": {"$ref": "#/definitions/a${i + 1}"}`).join()}, "a2000": {}}}`,
    ],
    ['have slow patterns', `["${'a'.repeat(100_000)}"]`, `{"items": {"pattern": "^(a{1,500}){1,2}b"}}`],
    ['are too long', '{}', `{"title": "${'x'.repeat(1_048_576)}"}`],
  ] as const) {
    test(`end the evaluation when they ${what}`, () => {
      assert.throws(() => call('json.match_schema', parseJson(document), parseJson(schema)), HaltError);
    });
  }

  test('have numbers of any size', () => {
    assert.deepEqual(errorsOf('[1e400, 1e-400]', '{"items": {"minimum": -1e999, "maximum": 1e999}}'), []);
    assert.deepEqual(verify('{"maxLength": 1e999999}'), [false, 'jsonschema: maxLength must be of an integer']);
  });
});
