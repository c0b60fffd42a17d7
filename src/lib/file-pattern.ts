const MAX_LENGTH = 1024;

/**
 * Whether a path fits a pattern, by the rules of OPA's `exclude_files` (Go, path/filepath.Match): `*` and `?` stand for what
 * is no slash, `[a-z]` and `[^a-z]` for one character, a backslash takes away a meaning; all of the path has to fit.
 * Throws Error for what is no pattern.
 */
export function filePattern(pattern: string): RegExp {
  if (pattern.length > MAX_LENGTH) throw new Error('too long');
  const characters = [...pattern];
  let source = '';
  for (let at = 0; at < characters.length; at++) {
    const c = characters[at] ?? '';
    if (c === '*') source += source.endsWith('[^/]*') ? '' : '[^/]*';
    else if (c === '?') source += '[^/]';
    else if (c === '[') {
      const end = endOfClass(characters, at);
      source += classOf(characters.slice(at + 1, end));
      at = end;
    } else if (c === '\\') source += literal(characters[++at]);
    else source += literal(c);
  }
  return new RegExp(`^${source}$`, 'u');
}

function literal(character: string | undefined): string {
  if (character === undefined) throw new Error('a backslash at its end');
  return character.replace(/[\\^$.*+?()[\]{}|/]/u, '\\$&');
}

function endOfClass(characters: readonly string[], from: number): number {
  for (let at = from + 1; at < characters.length; at++) {
    if (characters[at] === '\\') at++;
    else if (characters[at] === ']') return at;
  }
  throw new Error('a bracket that is not closed');
}

function classOf(inside: readonly string[]): string {
  const negated = inside[0] === '^';
  let rest = negated ? inside.slice(1) : inside;
  const take = (): string => {
    const [first, second] = rest;
    if (first === undefined || first === '-') throw new Error('a range without an end');
    rest = rest.slice(first === '\\' ? 2 : 1);
    const character = literal(first === '\\' ? second : first);
    return character === '-' ? '\\-' : character;
  };
  let ranges = '';
  do {
    const low = take();
    if (rest[0] === '-') {
      rest = rest.slice(1);
      ranges += `${low}-${take()}`;
    } else ranges += low;
  } while (rest.length > 0);
  try {
    new RegExp(`[${ranges}]`, 'u');
  } catch {
    throw new Error('a range that ends before it begins');
  }
  return `(?!/)[${negated ? '^' : ''}${ranges}]`;
}
