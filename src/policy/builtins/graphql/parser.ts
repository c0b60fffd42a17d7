import { HaltError } from '../builtin.ts';
import type { Argument, ChildValue, CommentGroup, Directive, TypeReference, ValueNode } from './document.ts';
import { MAX_NESTING, ValueKind } from './document.ts';
import { createLexer, type Token, type TokenKind } from './lexer.ts';

/*
 * What queries and schemas have in common: values, directives, types (https://spec.graphql.org/October2021/#sec-Language).
 * Members of nodes come in the order in which they are read.
 */

export type Parser = {
  /** The token to come. */
  readonly peek: () => Token;
  readonly take: () => Token;
  /** Takes the token to come if it is one of `kind`. */
  readonly skip: (kind: TokenKind) => boolean;
  /** Takes a token that must be of `kind`. */
  readonly expect: (kind: TokenKind) => Token;
  readonly keyword: (word: string) => void;
  readonly name: () => string;
  /** Throws BuiltinError for the token to come. */
  readonly unexpected: () => never;
  /** What comes between `open` and `close`, at least one; nothing when `open` does not come. */
  readonly some: <T>(open: TokenKind, close: TokenKind, read: () => T) => readonly T[];
  /** `read`, one level deeper. Throws HaltError when that is too deep. */
  readonly nested: <T>(read: () => T) => T;
};

/** Reads `text`. All throw BuiltinError for what is not GraphQL, HaltError for too much of it. */
export function createParser(text: string, maxTokens: number, checkDeadline: () => void): Parser {
  const lexer = createLexer(text, maxTokens, checkDeadline);
  let ahead: Token | undefined;
  let depth = 0;

  function peek(): Token {
    ahead ??= lexer.next();
    return ahead;
  }
  function take(): Token {
    const token = peek();
    ahead = undefined;
    return token;
  }
  const isNext = (kind: TokenKind): boolean => peek().kind === kind;
  function skip(kind: TokenKind): boolean {
    if (!isNext(kind)) return false;
    take();
    return true;
  }
  const wrong = (expected: string): never => lexer.fail(`Expected ${expected}, found ${tokenText(peek())}`, peek().at);
  const expect = (kind: TokenKind): Token => (isNext(kind) ? take() : wrong(kind));
  const unexpected = (): never => lexer.fail(`Unexpected ${tokenText(peek())}`, peek().at);
  function keyword(word: string): void {
    if (!isNext('name') || peek().value !== word) wrong(word);
    take();
  }
  function some<T>(open: TokenKind, close: TokenKind, read: () => T): readonly T[] {
    if (!skip(open)) return [];
    const members: T[] = [];
    do members.push(nested(read));
    while (!isNext(close));
    take();
    return members;
  }
  function nested<T>(read: () => T): T {
    if (depth >= MAX_NESTING) throw new HaltError('eval_limit_error', 'a GraphQL document is nested too deep');
    depth++;
    const result = read();
    depth--;
    return result;
  }
  return { peek, take, skip, expect, keyword, name: () => expect('name').value, unexpected, some, nested };
}

function tokenText({ kind, value }: Token): string {
  return value === '' ? kind : `${kind} ${JSON.stringify(value)}`;
}

export function commentsOf(token: Token): CommentGroup | undefined {
  return token.comments.length === 0 ? undefined : { List: token.comments.map((text) => ({ Value: text })) };
}

export function readType(parser: Parser): TypeReference {
  if (!parser.skip('[')) return { NamedType: parser.name(), NonNull: parser.skip('!') };
  const element = parser.nested(() => readType(parser));
  parser.expect(']');
  return { NamedType: '', Elem: element, NonNull: parser.skip('!') };
}

export function readDirectives(parser: Parser, isConstant: boolean): readonly Directive[] {
  const directives: Directive[] = [];
  while (parser.skip('@')) {
    directives.push({ Name: parser.name(), Arguments: readArguments(parser, isConstant), Location: '' });
  }
  return directives;
}

export function readArguments(parser: Parser, isConstant: boolean): readonly Argument[] {
  return parser.some('(', ')', () => readNamedValue(parser, isConstant));
}

function readNamedValue(parser: Parser, isConstant: boolean): Argument & ChildValue {
  const Comment = commentsOf(parser.peek());
  const Name = parser.name();
  parser.expect(':');
  return { Name, Value: readValue(parser, isConstant), Comment };
}

/** A value; a constant one has no variables in it. */
export function readValue(parser: Parser, isConstant: boolean): ValueNode {
  const token = parser.peek();
  switch (token.kind) {
    case '[':
      return readMembers(parser, ValueKind.list, ']', () => ({ Name: '', Value: readValue(parser, isConstant) }));
    case '{':
      return readMembers(parser, ValueKind.object, '}', () => readNamedValue(parser, isConstant));
    case '$':
      if (isConstant) return parser.unexpected();
      parser.take();
      return scalar(ValueKind.variable, parser.name());
    case 'int':
    case 'float':
    case 'string':
    case 'block':
      parser.take();
      return scalar(ValueKind[token.kind], token.value);
    case 'name':
      parser.take();
      return scalar(wordKind(token.value), token.value);
    default:
      return parser.unexpected();
  }
}

function wordKind(word: string): number {
  if (word === 'true' || word === 'false') return ValueKind.boolean;
  return word === 'null' ? ValueKind.null : ValueKind.enum;
}

const scalar = (kind: number, raw: string): ValueNode => ({
  Raw: raw,
  Children: [],
  Kind: kind,
  ExpectedTypeHasDefault: false,
});

function readMembers(parser: Parser, kind: number, close: TokenKind, read: () => ChildValue): ValueNode {
  const Comment = commentsOf(parser.take());
  const members: ChildValue[] = [];
  while (!parser.skip(close)) members.push(parser.nested(read));
  return { ...scalar(kind, ''), Children: members, Comment };
}
