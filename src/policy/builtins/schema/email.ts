import { isIP } from 'node:net';

/*
 * E-mail addresses as Go's net/mail takes them (RFC 5322, section 3.4), with names, comments and groups.
 */

/** A place in the text; null where something that has to be there is missing. */
type At = number | null;

const ATOM = /[!#-'*+\-./0-9=?A-Z^_`a-~\u{80}-\u{10ffff}]+/uy;
const DOMAIN_LITERAL = /\[([\x21-\x5a\x5e-\x7e\x80-\u{10ffff}]*)\]/uy;
const QUOTED = /"((?:[\t\x20-\x21\x23-\x5b\x5d-\x7e\x80-\u{10ffff}]|\\[\t\x20-\x7e\x80-\u{10ffff}])*)"/uy;
const BLANKS = /[ \t]*/y;

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

const skipBlanks = (text: string, at: number): number => at + (match(BLANKS, text, at)?.[0].length ?? 0);

/** Past comments in parentheses, which may hold others. */
function skipComments(text: string, from: number): At {
  let at = skipBlanks(text, from);
  while (text[at] === '(') {
    let depth = 0;
    do {
      if (at >= text.length) return null;
      if (text[at] === '\\' && at + 1 < text.length) at++;
      else if (text[at] === '(') depth++;
      else if (text[at] === ')') depth--;
      at++;
    } while (depth > 0);
    at = skipBlanks(text, at);
  }
  return at;
}

function atom(text: string, at: number): At {
  const found = match(ATOM, text, at)?.[0];
  if (found === undefined || found.startsWith('.') || found.endsWith('.') || found.includes('..')) return null;
  return at + found.length;
}

/** `local@domain`. */
function address(text: string, from: number): At {
  const at = skipBlanks(text, from);
  const quoted = match(QUOTED, text, at);
  const local = quoted === null ? atom(text, at) : quoted[1] === '' ? null : at + quoted[0].length;
  if (local === null || text[local] !== '@') return null;
  const domain = skipBlanks(text, local + 1);
  if (text[domain] !== '[') return atom(text, domain);
  const literal = match(DOMAIN_LITERAL, text, domain);
  if (literal === null || isIP(literal[1] ?? '') === 0 || literal[0].includes('%')) return null;
  return domain + literal[0].length;
}

/** Words of a name; at least one. */
function phrase(text: string, from: number): At {
  let at = from;
  for (let count = 0; ; count++) {
    const next = count === 0 ? skipBlanks(text, at) : skipComments(text, at);
    if (next === null) return null;
    const word = match(text[next] === '"' ? QUOTED : ATOM, text, next)?.[0];
    if (word === undefined) return count === 0 ? null : next;
    at = next + word.length;
  }
}

type Mailboxes = { readonly at: number; readonly count: number };

function mailbox(text: string, from: number, mayBeGroup: boolean): Mailboxes | null {
  const start = skipBlanks(text, from);
  const plain = address(text, start);
  if (plain !== null) {
    const end = skipComments(text, plain);
    return end === null ? null : { at: end, count: 1 };
  }
  const name = text[start] === '<' ? start : phrase(text, start);
  if (name === null) return null;
  const at = skipBlanks(text, name);
  if (mayBeGroup && text[at] === ':') return group(text, at + 1);
  if (text[at] !== '<') return null;
  const end = address(text, at + 1);
  return end !== null && text[end] === '>' ? { at: end + 1, count: 1 } : null;
}

function group(text: string, from: number): Mailboxes | null {
  let at = skipBlanks(text, from);
  if (text[at] === ';') return { at: at + 1, count: 0 };
  for (let count = 1; ; count++) {
    const member = mailbox(text, at, false);
    const after = member === null ? null : skipComments(text, member.at);
    if (after === null) return null;
    if (text[after] === ';') return { at: after + 1, count };
    if (text[after] !== ',') return null;
    at = after + 1;
  }
}

/** Whether it is exactly one address. */
export function isEmailAddress(text: string): boolean {
  if (!text.isWellFormed()) return false;
  const found = mailbox(text, 0, true);
  return found?.count === 1 && skipComments(text, found.at) === text.length;
}
