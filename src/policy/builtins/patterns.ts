import { type Matcher, RE2JS, RE2JSException } from 're2js';
import { type BuiltinContext, HaltError } from './builtin.ts';

/*
 * Regular expressions in RE2's syntax (https://github.com/google/re2/wiki/Syntax), which take linear time.
 */

const MAX_PATTERN_CHARS = 65_536;
/** Instructions times characters that one search may take. */
const MAX_WORK = 20_000_000;
/** What one of them takes where it is slow, ms. */
const STEP_MS = 20e-6;

/** What compiling one takes at first. */
const INSTRUCTION_MS = 5e-3;

/** The reason when it is no pattern. Throws HaltError when it is too long. */
export function compilePattern(pattern: string): RE2JS | string {
  if (pattern.length > MAX_PATTERN_CHARS) throw new HaltError('eval_limit_error', 'a pattern is too long');
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    if (error instanceof RE2JSException) return error.message;
    throw error;
  }
}

/** About what compiling takes, ms: RE2 writes repetitions out, a thousand at most. */
export function compileMs(pattern: string): number {
  let copies = 1;
  for (const [, least, most] of pattern.matchAll(/\{(\d{1,4})(?:,(\d{0,4}))?\}/g)) copies *= Number(most || least) || 1;
  return pattern.length * Math.min(copies, 1_000) * INSTRUCTION_MS;
}

/** A search through `text`. Throws HaltError when that would take too long. */
export function searchIn(ctx: Pick<BuiltinContext, 'expectWork'>, pattern: RE2JS, text: string): Matcher {
  const work = pattern.programSize() * text.length;
  if (work > MAX_WORK) throw new HaltError('eval_limit_error', 'a text is too long for its pattern');
  ctx.expectWork(work * STEP_MS);
  return pattern.matcher(text);
}
