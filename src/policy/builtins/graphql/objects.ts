import { keyText } from '../../../values/dump.ts';
import { isNumber, toSafeInteger } from '../../../values/number.ts';
import { isArray, isRegoObject, RegoObject, RegoSet, typeName, type Value } from '../../../values/value.ts';
import { type BuiltinContext, BuiltinError, HaltError } from '../builtin.ts';
import { MAX_NESTING, type QueryDocument, type SchemaDocument, ValueKind } from './document.ts';

/*
 * Documents that policies pass as objects, such as graphql.parse_query has made. OPA reads them the way Go reads JSON into
 * structs (https://pkg.go.dev/encoding/json#Unmarshal): unknown members are passed over, missing ones are empty, letter case
 * does not count but where a type reads itself. What its validator fills in is not read.
 */

type Kind = 'text' | 'truth' | 'kind' | 'texts' | 'selections' | NodeName | readonly [NodeName];

type Shape = {
  readonly members: { readonly [name: string]: Kind };
  /** Members without which the node has no meaning. */
  readonly required?: readonly string[];
  /** Whether names of members must be written exactly so. */
  readonly isExact?: boolean;
};

type NodeName = keyof typeof SHAPES;

const COMMENTS = {
  BeforeDescriptionComment: 'CommentGroup',
  AfterDescriptionComment: 'CommentGroup',
} as const;
const DESCRIBED = { Description: 'text', Name: 'text', ...COMMENTS } as const;

const SHAPES = {
  QueryDocument: {
    members: { Operations: ['OperationDefinition'], Fragments: ['FragmentDefinition'], Comment: 'CommentGroup' },
  },
  OperationDefinition: {
    isExact: true,
    members: {
      Operation: 'text',
      Name: 'text',
      VariableDefinitions: ['VariableDefinition'],
      Directives: ['Directive'],
      SelectionSet: 'selections',
    },
  },
  FragmentDefinition: {
    isExact: true,
    members: {
      Name: 'text',
      VariableDefinition: ['VariableDefinition'],
      TypeCondition: 'text',
      Directives: ['Directive'],
      SelectionSet: 'selections',
    },
  },
  VariableDefinition: {
    required: ['Type'],
    members: {
      Variable: 'text',
      Type: 'Type',
      DefaultValue: 'Value',
      Directives: ['Directive'],
      Comment: 'CommentGroup',
      Used: 'truth',
    },
  },
  Field: {
    isExact: true,
    members: {
      Alias: 'text',
      Name: 'text',
      Arguments: ['Argument'],
      Directives: ['Directive'],
      SelectionSet: 'selections',
    },
  },
  FragmentSpread: { members: { Name: 'text', Directives: ['Directive'], Comment: 'CommentGroup' } },
  InlineFragment: {
    isExact: true,
    members: { TypeCondition: 'text', Directives: ['Directive'], SelectionSet: 'selections' },
  },
  Argument: { required: ['Value'], members: { Name: 'text', Value: 'Value', Comment: 'CommentGroup' } },
  ChildValue: { required: ['Value'], members: { Name: 'text', Value: 'Value', Comment: 'CommentGroup' } },
  Value: {
    members: {
      Raw: 'text',
      Children: ['ChildValue'],
      Kind: 'kind',
      Comment: 'CommentGroup',
      ExpectedTypeHasDefault: 'truth',
    },
  },
  Directive: { members: { Name: 'text', Arguments: ['Argument'], Location: 'text' } },
  Type: { members: { NamedType: 'text', Elem: 'Type', NonNull: 'truth' } },
  CommentGroup: { members: { List: ['Comment'] } },
  Comment: { members: { Value: 'text' } },
  SchemaDocument: {
    members: {
      Schema: ['SchemaDefinition'],
      SchemaExtension: ['SchemaDefinition'],
      Directives: ['DirectiveDefinition'],
      Definitions: ['Definition'],
      Extensions: ['Definition'],
      Comment: 'CommentGroup',
    },
  },
  SchemaDefinition: {
    members: {
      Description: 'text',
      ...COMMENTS,
      Directives: ['Directive'],
      OperationTypes: ['OperationTypeDefinition'],
      EndOfDefinitionComment: 'CommentGroup',
    },
  },
  OperationTypeDefinition: { members: { Operation: 'text', Type: 'text', Comment: 'CommentGroup' } },
  Definition: {
    members: {
      ...DESCRIBED,
      Kind: 'text',
      Directives: ['Directive'],
      Interfaces: 'texts',
      Fields: ['FieldDefinition'],
      Types: 'texts',
      EnumValues: ['EnumValueDefinition'],
      BuiltIn: 'truth',
      EndOfDefinitionComment: 'CommentGroup',
    },
  },
  FieldDefinition: {
    required: ['Type'],
    members: {
      ...DESCRIBED,
      Arguments: ['ArgumentDefinition'],
      DefaultValue: 'Value',
      Type: 'Type',
      Directives: ['Directive'],
    },
  },
  ArgumentDefinition: {
    required: ['Type'],
    members: { ...DESCRIBED, DefaultValue: 'Value', Type: 'Type', Directives: ['Directive'] },
  },
  EnumValueDefinition: { members: { ...DESCRIBED, Directives: ['Directive'] } },
  DirectiveDefinition: {
    members: { ...DESCRIBED, Arguments: ['ArgumentDefinition'], Locations: 'texts', IsRepeatable: 'truth' },
  },
} as const;

const shapes: { readonly [name in NodeName]: Shape } = SHAPES;

/** Members by name in lower case, for nodes that do not insist on letter case. */
const folded: ReadonlyMap<NodeName, ReadonlyMap<string, string>> = new Map(
  (Object.keys(shapes) as NodeName[]).map((name) => [
    name,
    new Map(Object.keys(shapes[name].members).map((member) => [member.toLowerCase(), member])),
  ]),
);

/** Values become documents with several levels for one of theirs. */
const MAX_DEPTH = 2 * MAX_NESTING;
const KINDS = Object.keys(ValueKind).length;

const EMPTY = new RegoObject();

type Reading = { readonly checkDeadline: () => void; depth: number };
type Node = { readonly [member: string]: unknown };

/** Throws BuiltinError when a member has a wrong type or is missing, HaltError when nested too deep. */
export function queryFromObject(ctx: BuiltinContext, object: RegoObject): QueryDocument {
  return readNode({ checkDeadline: ctx.checkDeadline, depth: 0 }, 'QueryDocument', object) as QueryDocument;
}

/** Throws BuiltinError when a member has a wrong type or is missing, HaltError when nested too deep. */
export function schemaFromObject(ctx: BuiltinContext, object: RegoObject): SchemaDocument {
  return readNode({ checkDeadline: ctx.checkDeadline, depth: 0 }, 'SchemaDocument', object) as SchemaDocument;
}

function readNode(reading: Reading, name: NodeName, value: Value): Node {
  if (!isRegoObject(value)) throw wrongMember(name, value);
  if (reading.depth >= MAX_DEPTH) throw new HaltError('eval_limit_error', 'a GraphQL document is nested too deep');
  reading.checkDeadline();
  const given = givenMembers(name, value);
  const node: { [member: string]: unknown } = {};
  reading.depth++;
  try {
    for (const [member, kind] of Object.entries(shapes[name].members)) {
      node[member] = readMember(reading, kind, given.get(member) ?? null);
    }
  } finally {
    reading.depth--;
  }
  const missing = shapes[name].required?.find((member) => node[member] === undefined);
  if (missing !== undefined) throw new BuiltinError(`a GraphQL ${name} has no ${missing}`);
  if (name === 'Type' && node['NamedType'] === '' && node['Elem'] === undefined) {
    throw new BuiltinError('a GraphQL type has neither a name nor an element');
  }
  return node;
}

/** Of members that mean the same the last one in the order of JSON counts. */
function givenMembers(name: NodeName, object: RegoObject): ReadonlyMap<string, Value> {
  const { members, isExact } = shapes[name];
  const given = new Map<string, Value>();
  for (const [key, value] of object.sorted()) {
    const text = keyText(key);
    const member = isExact || Object.hasOwn(members, text) ? text : folded.get(name)?.get(text.toLowerCase());
    if (member !== undefined && value !== null) given.set(member, value);
  }
  return given;
}

/** A member that is not there or null is empty. */
function readMember(reading: Reading, kind: Kind, value: Value): unknown {
  switch (kind) {
    case 'text':
      return readText(value);
    case 'truth':
      if (value !== null && typeof value !== 'boolean') throw wrongMember('boolean', value);
      return value ?? false;
    case 'kind':
      return readKind(value);
    case 'texts':
      return membersOf(value).map(readText);
    case 'selections':
      return membersOf(value).flatMap((selection) => readSelection(reading, selection));
    default:
      if (typeof kind === 'string') return value === null ? undefined : readNode(reading, kind, value);
      return membersOf(value).map((member) => readNode(reading, kind[0], member));
  }
}

function readText(value: Value): string {
  if (value !== null && typeof value !== 'string') throw wrongMember('string', value);
  return (value ?? '').toWellFormed();
}

function readKind(value: Value): number {
  const kind = value === null ? 0 : isNumber(value) ? toSafeInteger(value) : undefined;
  if (kind === undefined || kind < 0 || kind >= KINDS) throw wrongMember('kind of value', value);
  return kind;
}

function membersOf(value: Value): readonly Value[] {
  if (value === null) return [];
  if (isArray(value)) return value;
  if (value instanceof RegoSet) return value.sorted();
  throw wrongMember('array', value);
}

/**
 * OPA takes the first of the three that can be read, so that what has no wrong types in it is a field, and what is none of
 * them nothing.
 */
function readSelection(reading: Reading, value: Value): readonly Node[] {
  if (value === null) return [readNode(reading, 'Field', EMPTY)];
  for (const name of ['Field', 'FragmentSpread', 'InlineFragment'] as const) {
    try {
      return [readNode(reading, name, value)];
    } catch (error) {
      if (!(error instanceof BuiltinError)) throw error;
    }
  }
  return [];
}

function wrongMember(expected: string, value: Value): BuiltinError {
  return new BuiltinError(`in a GraphQL document: expected ${expected}, got ${typeName(value)}`);
}
