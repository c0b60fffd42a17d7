import { type BuiltinContext, BuiltinError } from '../builtin.ts';

/*
 * Whether two patterns of a small language match a string in common, as `regex.globs_match` answers it: characters, `.`,
 * sets such as `[a-z]`, each with `+` or `*`, and `\` before what is meant literally.
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/regex
 *
 * The answers are OPA's, where they are not those of the languages too: a repeated token that has to be passed over whole
 * before another repeated one is tried only where the next token fits (`a*b*` and `a` do not meet).
 */

type Repeat = 'once' | 'plus' | 'star';
/** The code points a token matches; undefined: any. */
type Token = { readonly points: ReadonlySet<number> | undefined; readonly repeat: Repeat };
type Glob = readonly Token[];

const MAX_GLOB_POINTS = 10_000;
/** Code points that the sets of a glob may have together. */
const MAX_SET_POINTS = 200_000;

const code = (character: string): number => character.codePointAt(0) ?? 0;
const BACKSLASH = code('\\');
const DASH = code('-');
const OPEN = code('[');
const CLOSE = code(']');
const DOT = code('.');
const PLUS = code('+');
const STAR = code('*');

/** Throws BuiltinError when it is no glob. */
function readGlob(text: string): Glob {
  const points = Array.from(text, code);
  if (points.length > MAX_GLOB_POINTS) throw new BuiltinError('the glob is too long');
  let at = 0;
  let setPoints = 0;

  /** The next code point, and whether a backslash makes it literal. */
  function next(): { readonly point: number; readonly literal: boolean } {
    const point = points[at++];
    if (point !== undefined && point !== BACKSLASH) return { point, literal: false };
    const escaped = point === undefined ? undefined : points[at++];
    if (escaped === undefined) throw new BuiltinError('the glob ends in the middle');
    return { point: escaped, literal: true };
  }

  function range(first: number): readonly number[] {
    if (at >= points.length - 1) throw new BuiltinError('a range of the glob has no end');
    const { point: last, literal } = next();
    if ((!literal && (last === CLOSE || last === DASH)) || last < first) {
      throw new BuiltinError('a range of the glob has no end');
    }
    setPoints += last - first + 1;
    if (setPoints > MAX_SET_POINTS) throw new BuiltinError('a set of the glob is too large');
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  }

  function set(): ReadonlySet<number> {
    const members = new Set<number>();
    let previous: number | undefined;
    for (;;) {
      const { point, literal } = next();
      if (!literal && point === CLOSE) return members;
      if (!literal && point === DASH) {
        if (previous === undefined) throw new BuiltinError('a range of the glob has no beginning');
        for (const member of range(previous)) members.add(member);
        previous = undefined;
      } else {
        members.add(point);
        previous = point;
      }
    }
  }

  function repeat(): Repeat {
    const point = points[at];
    if (point !== PLUS && point !== STAR) return 'once';
    at++;
    return point === PLUS ? 'plus' : 'star';
  }

  function token(): Token {
    const { point, literal } = next();
    if (!literal && (point === CLOSE || point === PLUS || point === STAR)) {
      throw new BuiltinError('a glob cannot have ], + or * there');
    }
    const matched =
      literal || (point !== DOT && point !== OPEN) ? new Set([point]) : point === OPEN ? set() : undefined;
    return { points: matched, repeat: repeat() };
  }

  const tokens: Token[] = [];
  while (at < points.length) tokens.push(token());
  return merged(tokens);
}

/** Repetitions of the same token beside each other are one. */
function merged(tokens: Glob): Glob {
  const result: Token[] = [];
  for (const token of tokens) {
    const before = result.at(-1);
    if (before !== undefined && before.repeat !== 'once' && token.repeat !== 'once' && samePoints(before, token)) {
      const isPlus = before.repeat === 'plus' || token.repeat === 'plus';
      result[result.length - 1] = { points: token.points, repeat: isPlus ? 'plus' : 'star' };
    } else result.push(token);
  }
  return result;
}

function samePoints({ points: a }: Token, { points: b }: Token): boolean {
  return a === undefined || b === undefined ? a === b : a.size === b.size && a.isSubsetOf(b);
}

function overlap({ points: a }: Token, { points: b }: Token): boolean {
  return a === undefined || b === undefined || !a.isDisjointFrom(b);
}

/** Throws BuiltinError when one of them is no glob, HaltError when the time is up. */
export function globsIntersect(ctx: BuiltinContext, left: string, right: string): boolean {
  const globs: readonly [Glob, Glob] = [readGlob(left), readGlob(right)];
  return endsOverlap(globs) && meet(ctx, globs);
}

/** Plain tokens at both ends have to fit each other, whatever stands between. */
function endsOverlap([a, b]: readonly [Glob, Glob]): boolean {
  const shorter = Math.min(a.length, b.length);
  const fits = (x: Token | undefined, y: Token | undefined): boolean | undefined =>
    x?.repeat === 'once' && y?.repeat === 'once' ? overlap(x, y) : undefined;
  for (let i = 0; i < shorter; i++) {
    const fit = fits(a[i], b[i]);
    if (fit === undefined) break;
    if (!fit) return false;
  }
  for (let i = 1; i <= shorter; i++) {
    const fit = fits(a.at(-i), b.at(-i));
    if (fit === undefined) break;
    if (!fit) return false;
  }
  return true;
}

/** Which of the two globs comes first matters where both repeat, so a position says it too. */
type Side = 0 | 1;

function meet(ctx: BuiltinContext, globs: readonly [Glob, Glob]): boolean {
  const known = new Map<string, boolean>();

  function from(side: Side, i: number, j: number): boolean {
    const key = `${side} ${i} ${j}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    ctx.checkDeadline();
    const result = compareFrom(side, i, j);
    known.set(key, result);
    return result;
  }

  function compareFrom(side: Side, start: number, otherStart: number): boolean {
    const other: Side = side === 0 ? 1 : 0;
    for (let i = start, j = otherStart; ; i++, j++) {
      const a = globs[side][i];
      const b = globs[other][j];
      if (a === undefined || b === undefined) return a === b;
      if (a.repeat !== 'once') return repeated(side, i, j);
      if (b.repeat !== 'once') return repeated(other, j, i);
      if (!overlap(a, b)) return false;
    }
  }

  /** The token at `i` of `side` repeats. */
  function repeated(side: Side, i: number, j: number): boolean {
    const other: Side = side === 0 ? 1 : 0;
    const token = globs[side][i];
    const facing = globs[other][j];
    if (token === undefined || facing === undefined) return false;
    if (token.repeat === 'star') return swallow(side, i, j);
    if (!overlap(token, facing)) return false;
    return swallow(side, i, j + 1) || (facing.repeat !== 'once' && from(side, i + 1, j));
  }

  /** The token at `i` takes tokens of the other glob from `j` on, until the rest of both meets. */
  function swallow(side: Side, i: number, j: number): boolean {
    const tokens = globs[side];
    const others = globs[side === 0 ? 1 : 0];
    const token = tokens[i];
    const next = tokens[i + 1];
    for (let k = j; k < others.length; k++) {
      const facing = others[k];
      if (token === undefined || facing === undefined) return false;
      if (next !== undefined && overlap(facing, next) && from(side, i + 1, k)) return true;
      if (!overlap(facing, token)) return false;
    }
    return next === undefined;
  }

  return from(0, 0, 0);
}
