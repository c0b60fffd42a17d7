import type { Reads } from '../../../src/model/reads.ts';

export type ReadsCase = {
  readonly name: string;
  /** The rules of a package; asked for `allow`. */
  readonly rego: string;
  /** Other packages, whole. */
  readonly others?: readonly string[];
  /** In a module of its own: every rule of the module that it is in could be meant. */
  readonly apart?: boolean;
  readonly reads: Reads;
  /** Keys of `reads` that no result depends on, although the policy may get at them. */
  readonly unneeded?: readonly string[];
};

const http = (below: Reads): Reads => ({ attributes: { request: { http: below } } });

/** What policies read, from the plain to the odd. */
export const cases: readonly ReadsCase[] = [
  { name: 'nothing', rego: 'allow := true', reads: {} },
  { name: 'that there is an input', rego: 'allow if input', reads: true },
  { name: 'one key', rego: 'allow if input.user == "ann"', reads: { user: true } },
  { name: 'a path', rego: 'allow if input.attributes.request.http.method == "GET"', reads: http({ method: true }) },
  {
    name: 'keys that are no identifiers',
    rego: 'allow if input["x y"]["é/1"] == 1',
    reads: { 'x y': { 'é/1': true } },
  },
  { name: 'the empty key', rego: 'allow if input[""] == 1', reads: { '': true } },
  { name: 'a negation', rego: 'allow if not input.blocked', reads: { blocked: true } },
  { name: 'that a key is there', rego: 'allow if { some x\n x = input.a.b }', reads: { a: { b: {} } } },
  { name: 'that a key is not there', rego: 'allow if not has_a\nhas_a if { x := input.a }', reads: { a: {} } },
  {
    name: 'a comparison of two places',
    rego: 'allow if input.a.x == input.b.y',
    reads: { a: { x: true }, b: { y: true } },
  },
  { name: 'alternatives', rego: 'allow if input.a == 1\nallow if input.b == 2', reads: { a: true, b: true } },
  {
    name: 'else',
    rego: 'allow := 1 if input.a == 1\nelse := 2 if input.b == 2\nelse := input.c',
    reads: { a: true, b: true, c: true },
  },
  { name: 'a default', rego: 'default allow := false\nallow if input.a == 1', reads: { a: true } },
  { name: 'a place as the result', rego: 'allow := input.a.b', reads: { a: { b: true } } },
  {
    name: 'places in the result',
    rego: 'allow := {"a": input.a, "b": [input.b.c]}',
    reads: { a: true, b: { c: true } },
  },
  { name: 'the whole input as the result', rego: 'allow := input', reads: true },
  { name: 'a place and a part of it', rego: 'allow if { input.a.b == 1\n input.a == {"b": 1} }', reads: { a: true } },
  { name: 'a variable key', rego: 'allow if { some k in ["x", "y"]\n input.a[k] == 1 }', reads: { a: true } },
  { name: 'a key that the input names', rego: 'allow if input.a[input.k] == 1', reads: { a: true, k: true } },
  { name: 'a variable key of the input', rego: 'allow if { some k\n input[k] == 1 }', reads: true },
  { name: 'an index', rego: 'allow if input.parsed_path[0] == "v1"', reads: { parsed_path: true } },
  { name: 'a part of an element', rego: 'allow if input.list[1].name == "x"', reads: { list: true } },
  { name: 'any element', rego: 'allow if input.list[_].name == "x"', reads: { list: true } },
  { name: 'a membership', rego: 'allow if "admin" in input.claims.roles', reads: { claims: { roles: true } } },
  { name: 'a comprehension', rego: 'allow := [x | x := input.list[_]; x > 1]', reads: { list: true } },
  { name: 'a comprehension over keys', rego: 'allow := {k | some k, _ in input.headers}', reads: { headers: true } },
  { name: 'every', rego: 'allow if every x in input.list { x > input.least }', reads: { list: true, least: true } },
  { name: 'a count', rego: 'allow if count(input.headers) > 1', reads: { headers: true } },
  { name: 'a text of the whole input', rego: 'allow := json.marshal(input)', reads: true },
  { name: 'a walk', rego: 'allow if { walk(input, [_, x])\n x == "secret" }', reads: true },
  { name: 'a walk over a part', rego: 'allow if { walk(input.a, [_, x])\n x == 1 }', reads: { a: true } },
  { name: 'an empty input', rego: 'allow if input == {}', reads: true },
  { name: 'an object of known keys', rego: 'allow := x if {"k": x} = input.a', reads: { a: true } },
  { name: 'an array of known length', rego: 'allow := x if ["v1", x] = input.a', reads: { a: true } },
  {
    name: 'object.get',
    rego: 'allow := object.get(input.headers, "x-a", "none")',
    reads: { headers: { 'x-a': true } },
  },
  {
    name: 'object.get with a place as the default',
    rego: 'allow := object.get(input.a, "b", input.c)',
    reads: { a: { b: true }, c: true },
  },
  { name: 'object.get with a path', rego: 'allow := object.get(input, ["a", "b"], "none")', reads: true },
  {
    name: 'object.get with a key that the input names',
    rego: 'allow := object.get(input.a, input.k, 1)',
    reads: { a: true, k: true },
  },
  { name: 'json.filter', rego: 'allow := json.filter(input.a, ["b"])', reads: { a: true } },
  { name: 'the type of a part', rego: 'allow := type_name(input.a)', reads: { a: true } },
  {
    name: 'an import',
    rego: 'import input.attributes.request.http as http\nallow if http.method == "GET"',
    reads: http({ method: true }),
  },
  {
    name: 'a rule that is a part',
    rego: 'http := input.attributes.request.http\nallow if { http.method == "GET"\n http.path == "/x" }',
    reads: http({ method: true, path: true }),
  },
  {
    name: 'a rule with alternatives',
    rego: 'part := input.a if input.first == 1\nelse := input.b\nallow if part.x == 1',
    reads: { a: { x: true }, b: { x: true }, first: true },
  },
  {
    name: 'a rule that may be two parts',
    rego: 'part := input.a if input.first == 1\npart := input.b if input.second == 1\nallow if part.x == 1',
    reads: { a: true, b: true, first: true, second: true },
  },
  {
    name: 'a rule with a default',
    rego: 'default part := {}\npart := input.a\nallow if not part.x == 1',
    reads: { a: { x: true } },
  },
  {
    name: 'a rule that is asked for twice',
    rego: 'part := input.a\none if part.x == 1\ntwo if part.y == 1\nallow if { one\n two }',
    reads: { a: { x: true, y: true } },
  },
  {
    name: 'a function of a part',
    rego: 'f(x) if x.name == "ann"\nallow if f(input.user)',
    reads: { user: { name: true } },
  },
  {
    name: 'a function of two parts',
    rego: 'f(x) if x.name == "ann"\nallow if { f(input.a)\n f(input.b) }',
    reads: { a: { name: true }, b: { name: true } },
  },
  {
    name: 'a function of a constant key',
    rego: 'header(name) := input.headers[name]\nallow if { header("x-a") == "1"\n header("x-b") == "2" }',
    reads: { headers: { 'x-a': true, 'x-b': true } },
  },
  {
    name: 'a function of an unknown key',
    rego: 'header(name) := input.headers[name]\nallow if { some h in ["x-a", "x-b"]\n header(h) == "1" }',
    reads: { headers: true },
  },
  {
    name: 'a function of a constant key, and of one that the input names',
    rego: 'header(name) := input.headers[name]\nallow if header("x-a") == 1\nallow if header(input.k) == 2',
    reads: { headers: true, k: true },
  },
  {
    name: 'a function that returns a part',
    rego: 'f(x) := x.inner\nallow if f(input.a).name == "ann"',
    reads: { a: { inner: { name: true } } },
  },
  {
    name: 'a function that returns what it is given',
    rego: 'f(x) := x\none(n) if f(input.a).p == n\ntwo(n) if f(input.b).q == n\nallow if { one(1)\n two(1) }',
    reads: { a: { p: true, q: true }, b: { p: true, q: true } },
    unneeded: ['a.q', 'b.p'],
  },
  {
    name: 'a function with a pattern',
    rego: 'f("GET") := 1\nf("PUT") := 2\nallow := f(input.method)',
    reads: { method: true },
  },
  {
    name: 'a function in a function',
    rego: 'f(x) := g(x.a)\ng(x) := x.b\nallow if f(input) == 1',
    reads: { a: { b: true } },
  },
  {
    name: 'a partial set',
    rego: 'reasons contains "no" if input.a == 1\nreasons contains input.b\nallow := reasons',
    reads: { a: true, b: true },
  },
  { name: 'a partial object', rego: 'm[k] := input.a if some k in ["x", "y"]\nallow := m.x', reads: { a: true } },
  { name: 'rules below each other', rego: 'a.b := input.x\na.c := input.y\nallow if a.b == 1', reads: { x: true } },
  {
    name: 'a rule of another package',
    rego: 'allow if data.other.ok',
    others: ['package other\nok if input.a == 1\nfine if input.b == 1'],
    reads: { a: true },
  },
  {
    name: 'a whole package',
    rego: 'allow := data.several',
    others: ['package several\nok if input.a == 1\nfine if input.b == 1'],
    reads: { a: true, b: true },
  },
  {
    name: 'a rule that the input chooses',
    rego: 'allow if data.chosen[input.kind].ok',
    others: ['package chosen.x\nok if input.a == 1', 'package chosen.y\nok if input.b == 1'],
    apart: true,
    reads: { kind: true, a: true, b: true },
  },
  {
    name: 'another input',
    rego: 'inner if input.b == 1\nallow if { inner with input as {"b": input.a} }',
    reads: { a: true },
  },
  {
    name: 'a part as the input',
    rego: 'inner if input.b == 1\nallow if inner with input as input.a',
    reads: { a: { b: true } },
  },
  {
    name: 'another value in the input',
    rego: 'inner if { input.a == 1\n input.b == 2 }\nallow if inner with input.a as 1',
    reads: { a: true, b: true },
    unneeded: ['a'],
  },
  {
    name: 'another value deep in the input',
    rego: 'inner if { input.a.b == 1\n input.a.c == 2 }\nallow if inner with input.a.b as 1',
    reads: { a: true },
  },
  {
    name: 'all of a changed input',
    rego: 'inner := count(input)\nallow := x if x := inner with input.a as 1',
    reads: true,
  },
  {
    name: 'the same rule with and without another input',
    rego: 'part := input.a\nok if part.x == 1\nallow if { ok\n ok with input as {"a": {"x": input.b}} }',
    reads: { a: { x: true }, b: true },
  },
  {
    name: 'a part in the data',
    rego: 'ok if data.roles.ann == 1\nallow if ok with data.roles as input.roles',
    reads: { roles: true },
  },
  {
    name: 'another function',
    rego: 'f(x) := x.a\ng(x) := x.b\nallow if { f(input.u) == 1 with f as g }',
    reads: { u: { b: true } },
  },
  { name: 'a built-in of the host', rego: 'allow := urlquery.encode(input.a.b)', reads: { a: { b: true } } },
  { name: 'a text with places in it', rego: 'allow := sprintf("%v", [input.a.b])', reads: { a: { b: true } } },
  {
    name: 'a loop that goes down',
    rego: 'allow if { x := [input.a, input.b][_]\n x.c == 1 }',
    reads: { a: true, b: true },
  },
  {
    name: 'a variable that is two parts',
    rego: 'allow if { some x in [input.a.p, input.b]\n x.c == 1 }',
    reads: { a: { p: true }, b: true },
  },
  { name: 'a key that text could hide', rego: 'allow if input.a["\ufc01"] == 1', reads: { a: true } },
  {
    name: 'a key of JavaScript',
    rego: 'allow if input.a.constructor == 1\nallow if input.b["__proto__"] == 2',
    reads: Object.fromEntries([
      ['a', Object.fromEntries([['constructor', true]])],
      ['b', true],
    ]),
  },
];
