import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BuiltinError, HaltError } from '../../../src/policy/builtins/builtin.ts';
import { templateBuiltins } from '../../../src/policy/builtins/template.ts';
import { createContext, defaultHostOptions } from '../../../src/policy/engine/context.ts';
import { parse } from '../../../src/values/parse.ts';
import type { Value } from '../../../src/values/value.ts';

const DATA = `{
  "a": "x<y>", "n": null, "one": 1, "zero": 0, "t": true, "list": ["p", null, 3, {"k": "v"}],
  "o": {"b": {"c": "d"}, "__proto__": 5}, "big": 12345678901234567890
}`;

function render(template: string, data = DATA): Value | undefined {
  const [builtin] = templateBuiltins;
  return builtin?.run(createContext(defaultHostOptions(), undefined), template, parse(data));
}

// Results are those of OPA 1.22.2.
describe('strings.render_template', () => {
  for (const [template, want] of [
    ['{{.zz}} {{.zz.b.c}} {{.n}} {{.o.zz}}', '<undefined> <undefined> <undefined> <undefined>'],
    ['{{.list}} {{.o}} {{.big}}', '[p <nil> 3 map[k:v]] map[__proto__:5 b:map[c:d]] 12345678901234567890'],
    ['x {{- .one -}} y {{- /* c */}}', 'x1y'],
    ['{{range $i, $v := .list}}{{if $i}},{{end}}{{$i}}={{$v}}{{end}}', '0=p,1=<undefined>,2=3,3=map[k:v]'],
    ['{{range .list}}{{if eq . "p"}}{{continue}}{{end}}{{.}}{{break}}{{else}}e{{end}}', '<undefined>'],
    ['{{range 3}}{{.}}{{end}}{{range .zz}}x{{else}}y{{end}}', '012y'],
    ['{{with .o.b}}{{.c}}{{$.a}}{{else}}e{{end}}{{if .zero}}true{{end}}', 'dx<y>true'],
    ['{{define "x"}}[{{.}}]{{end}}{{template "x" .a}}{{block "y" 1}}{{.}}{{end}}', '[x<y>]1'],
    ['{{$x := 1}}{{if .t}}{{$x = 2}}{{end}}{{$x}}', '2'],
    ['{{len .list}} {{len "ä"}} {{index .list 3 "k"}} {{index .a 0}} {{slice .a 1 2}}', '4 2 v 120 <'],
    ['{{html .a}} {{js "a\'b"}} {{urlquery "a b"}} {{print 1 2 "a" 3}}', "x&lt;y&gt; a\\'b a+b 1 2a3"],
    ['{{printf "%d %s %03d %v %q" .one .one 7 .list "a"}}', '%!d(json.Number=1) 1 007 [p <nil> 3 map[k:v]] "a"'],
    ['{{and .t .zero}} {{or .n "b"}} {{not .t}} {{eq 1 2 1}} {{lt "a" "b"}} {{eq .n nil}}', '0 b false true true true'],
    ['{{"a\\x41\\u00e4"}}{{`\\n`}}{{\'a\'}}{{0x1F}}{{1_0}}{{.a | printf "%s-%s" "b"}}', 'aAä\\n973110b-x<y>'],
  ] as const) {
    test(template, () => assert.equal(render(template), want));
  }

  for (const template of [
    '{{',
    '{{.a',
    '{{.a.b}}',
    '{{.n.b}}',
    '{{if .t}}',
    '{{end}}',
    '{{foo}}',
    '{{$x}}',
    '{{eq .one 1}}',
    '{{index .list 4}}',
    '{{index .list .zero}}',
    '{{range .a}}{{end}}',
    '{{template "zz"}}',
    '{{break}}',
    '{{.a | "b"}}',
    '{{9223372036854775808}}',
    '{{"\\q"}}',
    '{{call .a}}',
  ]) {
    test(`${template} is an error`, () => assert.throws(() => render(template), BuiltinError));
  }

  for (const data of ['{"a": {1}}', '{"a": {1: 2}}', '{"a": "\\u0007"}']) {
    test(`${data} is no data`, () => assert.throws(() => render('x', data), BuiltinError));
  }
});

describe('templates that ask for too much', () => {
  for (const template of [
    '{{range 9223372036854775807}}{{end}}',
    '{{range 1000000}}{{range 1000000}}0123456789{{end}}{{end}}',
    '{{$x := "0123456789"}}{{range 100}}{{$x = print $x $x}}{{end}}',
    '{{range 1000}}{{printf "%999999d" 1}}{{end}}',
    '{{define "x"}}{{template "x"}}{{end}}{{template "x"}}',
    '{{define "x"}}{{range 9}}{{template "y"}}{{end}}{{end}}{{define "y"}}{{template "x"}}{{end}}{{template "x"}}',
    `${'{{if .t}}'.repeat(5_000)}`,
    `{{${'('.repeat(5_000)}1${')'.repeat(5_000)}}}`,
    `{{if .t}}${'{{else if .t}}'.repeat(5_000)}{{end}}`,
  ]) {
    test(`${template.slice(0, 50)} ends the evaluation`, () => assert.throws(() => render(template), HaltError));
  }
});
