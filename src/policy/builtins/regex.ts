import { type Matcher, RE2JS } from 're2js';
import type { Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError, checkChars, checkMembers } from './builtin.ts';
import { safeIntegerAt, stringAt } from './operands.ts';
import { compileMs, compilePattern, searchIn } from './patterns.ts';
import { globsIntersect } from './regex/glob-intersection.ts';

/*
 * Regular expressions in RE2's syntax, which take linear time, with the results of Go's regexp package.
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/regex
 */

/** Throws BuiltinError when it is no pattern. */
function compile(ctx: BuiltinContext, pattern: string): RE2JS {
  const cacheKey = `regex:${pattern}`;
  const known = ctx.cache.get(cacheKey) as RE2JS | undefined;
  if (known !== undefined) return known;
  ctx.expectWork(compileMs(pattern));
  const compiled = compilePattern(pattern);
  if (typeof compiled === 'string') throw new BuiltinError(compiled);
  ctx.cache.set(cacheKey, compiled);
  return compiled;
}

const matcherOf = (ctx: BuiltinContext, pattern: string, text: string): Matcher =>
  searchIn(ctx, compile(ctx, pattern), text);

/** Steps through at most `most` matches; an empty one right after another is passed over, as in Go. */
function eachMatch(ctx: BuiltinContext, matcher: Matcher, most: number, found: (start: number, end: number) => void) {
  let count = 0;
  let lastEnd = -1;
  while (count < most && matcher.find()) {
    ctx.checkDeadline();
    const start = matcher.start();
    const end = matcher.end();
    if (start < end || start !== lastEnd) {
      checkMembers(++count);
      found(start, end);
    }
    lastEnd = end;
  }
}

function findAll(ctx: BuiltinContext, pattern: string, text: string, most: number): Value {
  const matches: string[] = [];
  const limit = most < 0 ? Number.POSITIVE_INFINITY : most;
  eachMatch(ctx, matcherOf(ctx, pattern, text), limit, (start, end) => matches.push(text.slice(start, end)));
  return matches;
}

/** Go's Regexp.Split without a limit: no part before a match that is empty and at the beginning. */
function split(ctx: BuiltinContext, pattern: string, text: string): Value {
  const matcher = matcherOf(ctx, pattern, text);
  if (pattern !== '' && text === '') return [''];
  const parts: string[] = [];
  let from = 0;
  let lastStart = 0;
  eachMatch(ctx, matcher, Number.POSITIVE_INFINITY, (start, end) => {
    lastStart = start;
    if (end === 0) return;
    parts.push(text.slice(from, start));
    from = end;
  });
  if (lastStart !== text.length) parts.push(text.slice(from));
  return parts;
}

/** `$name`, `${name}` and `$$` in a replacement (Go, Regexp.Expand); a `$` before anything else is itself. */
const REFERENCE = /\$(?:\$|([\p{L}\p{Nd}_]+)|\{([\p{L}\p{Nd}_]+)\})/gu;
const GROUP_NUMBER = /^(?:0|[1-9]\d{0,8})$/;

function replace(ctx: BuiltinContext, text: string, pattern: string, replacement: string): Value {
  const matcher = matcherOf(ctx, pattern, text);
  const named = compile(ctx, pattern).namedGroups();
  const groupText = (name: string): string => {
    const number = GROUP_NUMBER.test(name) ? Number(name) : Object.hasOwn(named, name) ? (named[name] ?? -1) : -1;
    return number >= 0 && number <= matcher.groupCount() ? (matcher.group(number) ?? '') : '';
  };
  const expand = (): string =>
    replacement.replace(REFERENCE, (whole, plain?: string, braced?: string) =>
      whole === '$$' ? '$' : groupText(plain ?? braced ?? ''),
    );
  let replaced = '';
  let from = 0;
  eachMatch(ctx, matcher, Number.POSITIVE_INFINITY, (start, end) => {
    replaced += text.slice(from, start) + expand();
    checkChars(replaced.length);
    from = end;
  });
  return replaced + text.slice(from);
}

/** A literal with patterns between delimiters, such as `urn:<[a-z]+>:x`, as one anchored pattern. Throws BuiltinError. */
function templatePattern(ctx: BuiltinContext, template: string, open: string, close: string): string {
  let pattern = '^';
  let depth = 0;
  let from = 0;
  for (let at = 0; at < template.length; at++) {
    const character = template[at];
    // With one delimiter for both, each of them opens.
    if (character === open) {
      if (++depth > 1) continue;
      pattern += RE2JS.quote(template.slice(from, at));
      from = at + 1;
    } else if (character === close && --depth === 0) {
      const part = template.slice(from, at);
      compile(ctx, `^${part}$`);
      pattern += `(${part})`;
      from = at + 1;
    }
    if (depth < 0) break;
  }
  if (depth !== 0) throw new BuiltinError('unbalanced delimiters in the template');
  return `${pattern}${RE2JS.quote(template.slice(from))}$`;
}

function delimiterAt(position: number, value: Value | undefined): string {
  const delimiter = stringAt(position, value);
  if (Buffer.byteLength(delimiter) !== 1) throw new BuiltinError('a delimiter has to be exactly one character long');
  return delimiter;
}

const GLOB_SPECIAL = /[\\*?[\]{}]/g;

export const regexBuiltins: readonly Builtin[] = [
  {
    name: 'regex.find_n',
    arity: 3,
    run: (ctx, pattern, text, most) => findAll(ctx, stringAt(1, pattern), stringAt(2, text), safeIntegerAt(3, most)),
  },
  {
    name: 'regex.split',
    arity: 2,
    run: (ctx, pattern, text) => split(ctx, stringAt(1, pattern), stringAt(2, text)),
  },
  {
    name: 'regex.replace',
    arity: 3,
    run: (ctx, text, pattern, replacement) =>
      replace(ctx, stringAt(1, text), stringAt(2, pattern), stringAt(3, replacement)),
  },
  {
    name: 'regex.template_match',
    arity: 4,
    run: (ctx, template, text, open, close) => {
      const pattern = templatePattern(ctx, stringAt(1, template), delimiterAt(3, open), delimiterAt(4, close));
      return matcherOf(ctx, pattern, stringAt(2, text)).find();
    },
  },
  {
    name: 'regex.globs_match',
    arity: 2,
    run: (ctx, a, b) => globsIntersect(ctx, stringAt(1, a), stringAt(2, b)),
  },
  {
    name: 'glob.quote_meta',
    arity: 1,
    run: (_ctx, text) => stringAt(1, text).replace(GLOB_SPECIAL, '\\$&'),
  },
];
