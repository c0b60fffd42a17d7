import { RE2JS, RE2JSException } from 're2js';
import { HaltError } from './builtin.ts';

/*
 * Patterns of JSON schemas, in RE2's syntax as OPA has them; they take linear time.
 */

const MAX_PATTERN_CHARS = 65_536;
/** Instructions times characters that one match may take. */
const MAX_WORK = 20_000_000;

/** Undefined for what is no pattern. */
export function compilePattern(pattern: string): RE2JS | undefined {
  if (pattern.length > MAX_PATTERN_CHARS) throw new HaltError('eval_limit_error', 'a pattern is too long');
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    if (error instanceof RE2JSException) return undefined;
    throw error;
  }
}

/** Whether a pattern matches somewhere. Throws HaltError when that would take too long. */
export function matchesPattern(pattern: RE2JS, text: string): boolean {
  if (pattern.programSize() * text.length > MAX_WORK) {
    throw new HaltError('eval_limit_error', 'a text is too long for its pattern');
  }
  return pattern.matcher(text).find();
}
