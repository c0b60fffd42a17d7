type Tree = { [key: string]: unknown };

/**
 * `--set` in OPA's form: `a.b.c=value`, several separated by commas; a backslash keeps a comma, a dot or an equals sign
 * as it is. Values are numbers, true, false, null, or text. Throws Error.
 */
export function applySet(tree: Tree, assignment: string): void {
  for (const part of splitUnescaped(assignment, ',')) {
    const [path, value] = pathAndValue(part, '--set');
    assign(tree, path, typed(value));
  }
}

/** `--set-file a.b=PATH`: the value is the file's content without its last line break. Throws Error. */
export function applySetFile(tree: Tree, assignment: string, readText: (file: string) => string): void {
  const [path, file] = pathAndValue(assignment, '--set-file');
  assign(tree, path, readText(file).replace(/\r?\n$/, ''));
}

function pathAndValue(assignment: string, flag: string): readonly [readonly string[], string] {
  const [left, ...right] = splitUnescaped(assignment, '=');
  if (left === undefined || left === '' || right.length === 0)
    throw new Error(`${flag} ${assignment}: KEY=VALUE expected`);
  return [splitUnescaped(left, '.').map(plain), plain(right.join('='))];
}

function splitUnescaped(text: string, separator: string): string[] {
  const parts = [''];
  for (let i = 0; i < text.length; i++) {
    const last = parts.length - 1;
    if (text[i] === '\\' && i + 1 < text.length) parts[last] += `\\${text[++i] ?? ''}`;
    else if (text[i] === separator) parts.push('');
    else parts[last] += text[i] ?? '';
  }
  return parts;
}

const plain = (text: string): string => text.replace(/\\(.)/g, '$1');

function typed(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (text === 'null') return null;
  return /^-?(?:0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : text;
}

const forbidden = new Set(['__proto__', 'constructor', 'prototype']);
const MAX_INDEX = 1000;

function assign(tree: Tree, path: readonly string[], value: unknown): void {
  const steps = path.flatMap((segment) => {
    const [name = '', ...indexes] = segment.split(/\[([0-9]+)\]/).filter((part) => part !== '');
    return [name, ...indexes.map(Number)];
  });
  let at: Tree = tree;
  steps.forEach((step, i) => {
    const key = String(step);
    if (key === '' || forbidden.has(key) || (typeof step === 'number' && step > MAX_INDEX)) {
      throw new Error(`${path.join('.')}: not a key`);
    }
    if (i === steps.length - 1) {
      at[key] = value;
      return;
    }
    const present = at[key];
    const next = typeof present === 'object' && present !== null ? present : typeof steps[i + 1] === 'number' ? [] : {};
    at[key] = next;
    at = next as Tree;
  });
}
