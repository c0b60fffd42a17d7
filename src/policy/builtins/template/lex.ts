import { BuiltinError } from '../builtin.ts';

/*
 * Tokens of Go templates (https://pkg.go.dev/text/template, "Text and spaces", "Actions").
 */

export type TokenType =
  | 'text'
  | 'open'
  | 'close'
  | 'space'
  | 'identifier'
  | 'keyword'
  | 'dot'
  | 'field'
  | 'variable'
  | 'boolean'
  | 'nil'
  | 'number'
  | 'character'
  | 'string'
  | 'assign'
  | 'declare'
  | 'pipe'
  | '('
  | ')'
  | ','
  | 'end';

/** `text` is the token's spelling; of a comment there is none. */
export type Token = { readonly type: TokenType; readonly text: string };

const KEYWORDS = new Set(['block', 'break', 'continue', 'define', 'else', 'end', 'if', 'range', 'template', 'with']);

const SPACE = /[ \t\r\n]+/y;
const WORD = /[\p{L}\p{Nd}_]+/uy;
/** Where a name may end. */
const TERMINATOR = /[ \t\r\n.,|:()]|\}\}|$/y;
const NUMBER =
  /[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[bBoO][0-7_]*|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?/y;
const STRING = /"(?:[^"\\\n]|\\[^\n])*"/y;
const RAW_STRING = /`[^`]*`/y;
const CHARACTER = /'(?:[^'\\\n]|\\[^\n])*'/y;
const CLOSE = /([ \t\r\n]-)?\}\}/y;
const SYMBOLS: { readonly [symbol: string]: TokenType } = { '=': 'assign', '|': 'pipe', '(': '(', ')': ')', ',': ',' };

/** All tokens and an end. Throws BuiltinError. */
export function tokenize(text: string, checkDeadline: () => void): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;

  const push = (type: TokenType, spelling: string): void => {
    tokens.push({ type, text: spelling });
  };

  function match(pattern: RegExp): string | undefined {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  }

  function fail(message: string): never {
    throw new BuiltinError(`template: ${message}`);
  }

  function textUntilAction(): void {
    const open = text.indexOf('{{', at);
    const plain = text.slice(at, open < 0 ? text.length : open);
    at = open < 0 ? text.length : open + 2;
    const isTrimmed = open >= 0 && /^-[ \t\r\n]/.test(text.slice(at, at + 2));
    const kept = isTrimmed ? trimBlanks(plain) : plain;
    if (kept !== '') push('text', kept);
    if (open < 0) return;
    if (isTrimmed) at += 2;
    if (text.startsWith('/*', at)) comment();
    else action();
  }

  function close(): boolean {
    const found = match(CLOSE);
    if (found === undefined) return false;
    at += found.length;
    if (found.length > 2) at += match(SPACE)?.length ?? 0;
    return true;
  }

  function comment(): void {
    const end = text.indexOf('*/', at + 2);
    if (end < 0) fail('unclosed comment');
    at = end + 2;
    if (!close()) fail('comment ends before closing delimiter');
  }

  function action(): void {
    push('open', '{{');
    let depth = 0;
    for (;;) {
      checkDeadline();
      if (close()) {
        if (depth > 0) fail('unclosed left paren');
        push('close', '}}');
        return;
      }
      if (at >= text.length) fail('unclosed action');
      token();
      const type = tokens.at(-1)?.type;
      if (type === '(') depth++;
      if (type === ')' && --depth < 0) fail('unexpected right paren');
    }
  }

  function token(): void {
    const first = text[at] ?? '';
    const next = text[at + 1] ?? '';
    const blanks = match(SPACE);
    if (blanks !== undefined) {
      // The last blank before a trimming end belongs to it.
      const isBeforeEnd = text.startsWith('-}}', at + blanks.length);
      at += isBeforeEnd ? blanks.length - 1 : blanks.length;
      push('space', ' ');
    } else if (first === ':') {
      if (next !== '=') fail('expected :=');
      at += 2;
      push('declare', ':=');
    } else if (first === '"') quoted('string', STRING);
    else if (first === '`') quoted('string', RAW_STRING);
    else if (first === "'") quoted('character', CHARACTER);
    else if (first === '$') name('variable');
    else if (first === '.' && !/[0-9]/.test(next)) name('field');
    else if (/[0-9.+-]/.test(first)) numberToken();
    else if (match(WORD) !== undefined) word();
    else {
      const type = SYMBOLS[first];
      if (type === undefined) fail(`unexpected ${JSON.stringify(first)} in an action`);
      at++;
      push(type, first);
    }
  }

  function quoted(type: TokenType, pattern: RegExp): void {
    const spelling = match(pattern);
    if (spelling === undefined) fail('unterminated quoted string');
    at += spelling.length;
    push(type, spelling);
  }

  /** `.`, `.name`, `$` or `$name`. */
  function name(type: 'field' | 'variable'): void {
    const sigil = text[at] ?? '';
    at++;
    const spelling = match(WORD) ?? '';
    at += spelling.length;
    if (match(TERMINATOR) === undefined) fail('bad character in a name');
    push(type === 'field' && spelling === '' ? 'dot' : type, sigil + spelling);
  }

  function numberToken(): void {
    const spelling = match(NUMBER) ?? '';
    at += spelling.length;
    if (spelling === '' || match(WORD) !== undefined || /[+-]/.test(text[at] ?? '')) fail('bad number syntax');
    push('number', spelling);
  }

  function word(): void {
    const spelling = match(WORD) ?? '';
    at += spelling.length;
    if (match(TERMINATOR) === undefined) fail('bad character in a name');
    if (KEYWORDS.has(spelling)) push('keyword', spelling);
    else if (spelling === 'true' || spelling === 'false') push('boolean', spelling);
    else push(spelling === 'nil' ? 'nil' : 'identifier', spelling);
  }

  while (at < text.length) textUntilAction();
  push('end', '');
  return tokens;
}

function trimBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && ' \t\r\n'.includes(text[end - 1] ?? '')) end--;
  return text.slice(0, end);
}
