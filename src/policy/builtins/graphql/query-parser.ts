import type {
  Field,
  FragmentDefinition,
  FragmentSpread,
  InlineFragment,
  OperationDefinition,
  QueryDocument,
  Selection,
  SelectionSet,
  VariableDefinition,
} from './document.ts';
import { commentsOf, createParser, type Parser, readArguments, readDirectives, readType, readValue } from './parser.ts';

/*
 * Executable documents (https://spec.graphql.org/October2021/#sec-Document), as OPA's parser reads them: a document may be
 * empty, fragments may define variables, operations have no descriptions.
 */

const MAX_TOKENS = 100_000;

/** Throws BuiltinError for what is not a query, HaltError when it is too large. */
export function parseQuery(text: string, checkDeadline: () => void): QueryDocument {
  const parser = createParser(text, MAX_TOKENS, checkDeadline);
  const Operations: OperationDefinition[] = [];
  const Fragments: FragmentDefinition[] = [];
  for (;;) {
    const { kind, value } = parser.peek();
    if (kind === 'end') return { Operations, Fragments };
    if (kind === '{') Operations.push(readShorthand(parser));
    else if (kind !== 'name') parser.unexpected();
    else if (value === 'query' || value === 'mutation' || value === 'subscription') {
      Operations.push(readOperation(parser));
    } else if (value === 'fragment') Fragments.push(readFragment(parser));
    else parser.unexpected();
  }
}

function readShorthand(parser: Parser): OperationDefinition {
  return {
    Operation: 'query',
    Name: '',
    VariableDefinitions: [],
    Directives: [],
    SelectionSet: readSelectionSet(parser),
  };
}

function readOperation(parser: Parser): OperationDefinition {
  const keyword = parser.take();
  return {
    Operation: keyword.value,
    Comment: commentsOf(keyword),
    Name: parser.peek().kind === 'name' ? parser.name() : '',
    VariableDefinitions: readVariables(parser),
    Directives: readDirectives(parser, false),
    SelectionSet: readSelectionSet(parser),
  };
}

function readFragment(parser: Parser): FragmentDefinition {
  const keyword = parser.take();
  const Name = readFragmentName(parser);
  const VariableDefinition = readVariables(parser);
  parser.keyword('on');
  return {
    Comment: commentsOf(keyword),
    Name,
    VariableDefinition,
    TypeCondition: parser.name(),
    Directives: readDirectives(parser, false),
    SelectionSet: readSelectionSet(parser),
  };
}

function readFragmentName(parser: Parser): string {
  return parser.peek().value === 'on' ? parser.unexpected() : parser.name();
}

function readVariables(parser: Parser): readonly VariableDefinition[] {
  return parser.some('(', ')', () => {
    const Comment = commentsOf(parser.expect('$'));
    const Variable = parser.name();
    parser.expect(':');
    return {
      Comment,
      Variable,
      Type: readType(parser),
      DefaultValue: parser.skip('=') ? readValue(parser, true) : undefined,
      Directives: readDirectives(parser, false),
      Used: false,
    };
  });
}

function readSelectionSet(parser: Parser): SelectionSet {
  if (parser.peek().kind !== '{') parser.expect('{');
  return parser.some('{', '}', () => readSelection(parser));
}

function readSelection(parser: Parser): Selection {
  return parser.peek().kind === '...' ? readSpread(parser) : readField(parser);
}

function readField(parser: Parser): Field {
  const Comment = commentsOf(parser.peek());
  const Alias = parser.name();
  return {
    Comment,
    Alias,
    Name: parser.skip(':') ? parser.name() : Alias,
    Arguments: readArguments(parser, false),
    Directives: readDirectives(parser, false),
    SelectionSet: parser.peek().kind === '{' ? readSelectionSet(parser) : [],
  };
}

function readSpread(parser: Parser): FragmentSpread | InlineFragment {
  const Comment = commentsOf(parser.take());
  const { kind, value } = parser.peek();
  if (kind === 'name' && value !== 'on') {
    return { Comment, Name: readFragmentName(parser), Directives: readDirectives(parser, false) };
  }
  if (value === 'on') parser.take();
  return {
    Comment,
    TypeCondition: value === 'on' ? parser.name() : '',
    Directives: readDirectives(parser, false),
    SelectionSet: readSelectionSet(parser),
  };
}
