import type {
  ArgumentDefinition,
  Definition,
  Described,
  DirectiveDefinition,
  EnumValueDefinition,
  FieldDefinition,
  OperationTypeDefinition,
  SchemaDefinition,
  SchemaDocument,
} from './document.ts';
import type { Token, TokenKind } from './lexer.ts';
import { commentsOf, createParser, type Parser, readDirectives, readType, readValue } from './parser.ts';

/*
 * Type system documents (https://spec.graphql.org/October2021/#sec-Type-System), as OPA's parser reads them: a document may
 * be empty, a schema may come without operations, an interface's extension cannot implement others.
 */

const KINDS: ReadonlyMap<string, string> = new Map([
  ['scalar', 'SCALAR'],
  ['type', 'OBJECT'],
  ['interface', 'INTERFACE'],
  ['union', 'UNION'],
  ['enum', 'ENUM'],
  ['input', 'INPUT_OBJECT'],
]);

/** Where directives may be. */
const LOCATIONS: ReadonlySet<string> = new Set([
  'QUERY',
  'MUTATION',
  'SUBSCRIPTION',
  'FIELD',
  'FRAGMENT_DEFINITION',
  'FRAGMENT_SPREAD',
  'INLINE_FRAGMENT',
  'VARIABLE_DEFINITION',
  'SCHEMA',
  'SCALAR',
  'OBJECT',
  'FIELD_DEFINITION',
  'ARGUMENT_DEFINITION',
  'INTERFACE',
  'UNION',
  'ENUM',
  'ENUM_VALUE',
  'INPUT_OBJECT',
  'INPUT_FIELD_DEFINITION',
]);

const MAX_TOKENS = 500_000;

/** Throws BuiltinError for what is not a schema, HaltError when it is too large. */
export function parseSchema(text: string, checkDeadline: () => void): SchemaDocument {
  const parser = createParser(text, MAX_TOKENS, checkDeadline);
  const Schema: SchemaDefinition[] = [];
  const SchemaExtension: SchemaDefinition[] = [];
  const Directives: DirectiveDefinition[] = [];
  const Definitions: Definition[] = [];
  const Extensions: Definition[] = [];
  while (parser.peek().kind !== 'end') {
    const description = takeDescription(parser);
    const first = parser.peek();
    if (first.kind !== 'name') parser.unexpected();
    const described = { ...describedBy(description), AfterDescriptionComment: commentsOf(first) };
    if (first.value === 'schema') Schema.push(readSchema(parser, described));
    else if (first.value === 'directive') Directives.push(readDirectiveDefinition(parser, described));
    else if (KINDS.has(first.value)) Definitions.push(readDefinition(parser, described));
    else if (first.value === 'extend' && described.Description === '') {
      parser.take();
      const extension = { Description: '', AfterDescriptionComment: commentsOf(first) };
      if (parser.peek().value === 'schema') SchemaExtension.push(mustExtend(parser, readSchema(parser, extension)));
      else if (KINDS.has(parser.peek().value)) Extensions.push(readExtension(parser, extension));
      else parser.unexpected();
    } else parser.unexpected();
  }
  const Comment = commentsOf(parser.peek());
  return { Schema, SchemaExtension, Directives, Definitions, Extensions, Comment };
}

function takeDescription(parser: Parser): Token | undefined {
  const { kind } = parser.peek();
  return kind === 'string' || kind === 'block' ? parser.take() : undefined;
}

function describedBy(description: Token | undefined): Described {
  if (description === undefined) return { Description: '' };
  return { Description: description.value, BeforeDescriptionComment: commentsOf(description) };
}

/** Of a part of a definition: there an empty description and its comments are as good as none. */
function readDescribed(parser: Parser): Described {
  const description = takeDescription(parser);
  const described = describedBy(description?.value === '' ? undefined : description);
  return { ...described, AfterDescriptionComment: commentsOf(parser.peek()) };
}

/** What comes between braces, and the comments before the closing one. */
function readBraces<T>(
  parser: Parser,
  read: () => T,
): { members: readonly T[]; comment: Definition['EndOfDefinitionComment'] } {
  let comment: Definition['EndOfDefinitionComment'];
  const members = parser.some('{', '}', () => {
    const member = read();
    comment = commentsOf(parser.peek());
    return member;
  });
  return { members, comment };
}

function readSchema(parser: Parser, described: Described): SchemaDefinition {
  parser.keyword('schema');
  const Directives = readDirectives(parser, true);
  const { members, comment } = readBraces(parser, () => readOperationType(parser));
  return { ...described, Directives, OperationTypes: members, EndOfDefinitionComment: comment };
}

function readOperationType(parser: Parser): OperationTypeDefinition {
  const Comment = commentsOf(parser.peek());
  const Operation = parser.peek().value;
  if (!['query', 'mutation', 'subscription'].includes(Operation)) parser.unexpected();
  parser.take();
  parser.expect(':');
  return { Comment, Operation, Type: parser.name() };
}

function readDirectiveDefinition(parser: Parser, described: Described): DirectiveDefinition {
  parser.keyword('directive');
  parser.expect('@');
  const Name = parser.name();
  const Arguments = readArgumentDefinitions(parser);
  const IsRepeatable = parser.peek().kind === 'name' && parser.peek().value === 'repeatable';
  if (IsRepeatable) parser.take();
  parser.keyword('on');
  return { ...described, Name, Arguments, IsRepeatable, Locations: readNames(parser, '|', readLocation) };
}

function readLocation(parser: Parser): string {
  return LOCATIONS.has(parser.peek().value) ? parser.name() : parser.unexpected();
}

/** Names with a separator between them, and perhaps one before the first. */
function readNames(parser: Parser, separator: TokenKind, read: (parser: Parser) => string): readonly string[] {
  parser.skip(separator);
  const names = [read(parser)];
  while (parser.skip(separator)) names.push(read(parser));
  return names;
}

function readDefinition(parser: Parser, described: Described): Definition {
  const word = parser.name();
  const Kind = KINDS.get(word) ?? '';
  const Name = parser.name();
  const hasInterfaces = (Kind === 'OBJECT' || Kind === 'INTERFACE') && parser.peek().value === 'implements';
  if (hasInterfaces) parser.take();
  const Interfaces = hasInterfaces ? readNames(parser, '&', (names) => names.name()) : [];
  const Directives = readDirectives(parser, true);
  const base = {
    ...described,
    Kind,
    Name,
    Interfaces,
    Directives,
    Fields: [],
    Types: [],
    EnumValues: [],
    BuiltIn: false,
  };
  switch (Kind) {
    case 'UNION':
      return { ...base, Types: parser.skip('=') ? readNames(parser, '|', (names) => names.name()) : [] };
    case 'ENUM': {
      const { members, comment } = readBraces(parser, () => readEnumValue(parser));
      return { ...base, EnumValues: members, EndOfDefinitionComment: comment };
    }
    case 'SCALAR':
      return base;
    default: {
      const { members, comment } = readBraces(parser, () =>
        Kind === 'INPUT_OBJECT' ? readInputField(parser) : readField(parser),
      );
      return { ...base, Fields: members, EndOfDefinitionComment: comment };
    }
  }
}

function readExtension(parser: Parser, described: Described): Definition {
  const extension = readDefinition(parser, described);
  if (extension.Kind === 'INTERFACE' && extension.Interfaces.length > 0) parser.unexpected();
  return mustExtend(parser, extension);
}

/** An extension that adds something. Throws BuiltinError for one that does not. */
function mustExtend<T extends Definition | SchemaDefinition>(parser: Parser, extension: T): T {
  return Object.values(extension).some((part) => Array.isArray(part) && part.length > 0)
    ? extension
    : parser.unexpected();
}

function readEnumValue(parser: Parser): EnumValueDefinition {
  return { ...readDescribed(parser), Name: parser.name(), Directives: readDirectives(parser, true) };
}

function readField(parser: Parser): FieldDefinition {
  const described = readDescribed(parser);
  const Name = parser.name();
  const Arguments = readArgumentDefinitions(parser);
  parser.expect(':');
  return { ...described, Name, Arguments, Type: readType(parser), Directives: readDirectives(parser, true) };
}

function readInputField(parser: Parser): FieldDefinition {
  return { ...readArgumentDefinition(parser), Arguments: [] };
}

function readArgumentDefinitions(parser: Parser): readonly ArgumentDefinition[] {
  return parser.some('(', ')', () => readArgumentDefinition(parser));
}

function readArgumentDefinition(parser: Parser): ArgumentDefinition {
  const described = readDescribed(parser);
  const Name = parser.name();
  parser.expect(':');
  return {
    ...described,
    Name,
    Type: readType(parser),
    DefaultValue: parser.skip('=') ? readValue(parser, true) : undefined,
    Directives: readDirectives(parser, true),
  };
}
