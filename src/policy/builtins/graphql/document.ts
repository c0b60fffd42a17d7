import { RegoObject, type Value } from '../../../values/value.ts';

/*
 * Documents of GraphQL as OPA shows them to policies: nodes, names of members and numbers of kinds are those of the parser
 * that OPA uses (https://pkg.go.dev/github.com/vektah/gqlparser/v2/ast), without positions.
 */

export type CommentGroup = { readonly List: readonly { readonly Value: string }[] };

export type TypeReference = {
  /** Empty for a list. */
  readonly NamedType: string;
  readonly Elem?: TypeReference | undefined;
  readonly NonNull: boolean;
};

export const ValueKind = {
  variable: 0,
  int: 1,
  float: 2,
  string: 3,
  block: 4,
  boolean: 5,
  null: 6,
  enum: 7,
  list: 8,
  object: 9,
} as const;

export type ValueNode = {
  /** The name of a variable, the content of a string, otherwise as it was written. */
  readonly Raw: string;
  readonly Children: readonly ChildValue[];
  readonly Kind: number;
  readonly Comment?: CommentGroup | undefined;
  readonly ExpectedTypeHasDefault: boolean;
};

/** A member of a list, then without a name, or of an object. */
export type ChildValue = {
  readonly Name: string;
  readonly Value: ValueNode;
  readonly Comment?: CommentGroup | undefined;
};

export type Argument = {
  readonly Name: string;
  readonly Value: ValueNode;
  readonly Comment?: CommentGroup | undefined;
};

export type Directive = {
  readonly Name: string;
  readonly Arguments: readonly Argument[];
  readonly Location: string;
};

export type Field = {
  readonly Alias: string;
  readonly Name: string;
  readonly Arguments: readonly Argument[];
  readonly Directives: readonly Directive[];
  readonly SelectionSet: SelectionSet;
  readonly Comment?: CommentGroup | undefined;
};

export type FragmentSpread = {
  readonly Name: string;
  readonly Directives: readonly Directive[];
  readonly Comment?: CommentGroup | undefined;
};

export type InlineFragment = {
  /** Empty without one. */
  readonly TypeCondition: string;
  readonly Directives: readonly Directive[];
  readonly SelectionSet: SelectionSet;
  readonly Comment?: CommentGroup | undefined;
};

export type Selection = Field | FragmentSpread | InlineFragment;
export type SelectionSet = readonly Selection[];

export const isField = (selection: Selection): selection is Field => 'Alias' in selection;
export const isInlineFragment = (selection: Selection): selection is InlineFragment => 'TypeCondition' in selection;

export type VariableDefinition = {
  readonly Variable: string;
  readonly Type: TypeReference;
  readonly DefaultValue?: ValueNode | undefined;
  readonly Directives: readonly Directive[];
  readonly Comment?: CommentGroup | undefined;
  readonly Used: boolean;
};

export type OperationDefinition = {
  /** `query`, `mutation`, `subscription`; empty for a query in a document that was no text. */
  readonly Operation: string;
  readonly Name: string;
  readonly VariableDefinitions: readonly VariableDefinition[];
  readonly Directives: readonly Directive[];
  readonly SelectionSet: SelectionSet;
  readonly Comment?: CommentGroup | undefined;
};

export type FragmentDefinition = {
  readonly Name: string;
  readonly VariableDefinition: readonly VariableDefinition[];
  readonly TypeCondition: string;
  readonly Directives: readonly Directive[];
  readonly SelectionSet: SelectionSet;
  readonly Comment?: CommentGroup | undefined;
};

export type QueryDocument = {
  readonly Operations: readonly OperationDefinition[];
  readonly Fragments: readonly FragmentDefinition[];
  readonly Comment?: CommentGroup | undefined;
};

/** What every part of a schema has that may be described. */
export type Described = {
  readonly Description: string;
  readonly BeforeDescriptionComment?: CommentGroup | undefined;
  readonly AfterDescriptionComment?: CommentGroup | undefined;
};

export type ArgumentDefinition = Described & {
  readonly Name: string;
  readonly DefaultValue?: ValueNode | undefined;
  readonly Type: TypeReference;
  readonly Directives: readonly Directive[];
};

/** A field of an object, an interface or an input object. */
export type FieldDefinition = Described & {
  readonly Name: string;
  readonly Arguments: readonly ArgumentDefinition[];
  readonly DefaultValue?: ValueNode | undefined;
  readonly Type: TypeReference;
  readonly Directives: readonly Directive[];
};

export type EnumValueDefinition = Described & {
  readonly Name: string;
  readonly Directives: readonly Directive[];
};

/** A type of any kind, or an extension of one. */
export type Definition = Described & {
  /** `SCALAR`, `OBJECT`, `INTERFACE`, `UNION`, `ENUM`, `INPUT_OBJECT`: also the place of its directives. */
  readonly Kind: string;
  readonly Name: string;
  readonly Directives: readonly Directive[];
  readonly Interfaces: readonly string[];
  readonly Fields: readonly FieldDefinition[];
  readonly Types: readonly string[];
  readonly EnumValues: readonly EnumValueDefinition[];
  readonly BuiltIn: boolean;
  readonly EndOfDefinitionComment?: CommentGroup | undefined;
};

export type DirectiveDefinition = Described & {
  readonly Name: string;
  readonly Arguments: readonly ArgumentDefinition[];
  readonly Locations: readonly string[];
  readonly IsRepeatable: boolean;
};

export type OperationTypeDefinition = {
  readonly Operation: string;
  readonly Type: string;
  readonly Comment?: CommentGroup | undefined;
};

export type SchemaDefinition = Described & {
  readonly Directives: readonly Directive[];
  readonly OperationTypes: readonly OperationTypeDefinition[];
  readonly EndOfDefinitionComment?: CommentGroup | undefined;
};

export type SchemaDocument = {
  readonly Schema: readonly SchemaDefinition[];
  readonly SchemaExtension: readonly SchemaDefinition[];
  readonly Directives: readonly DirectiveDefinition[];
  readonly Definitions: readonly Definition[];
  readonly Extensions: readonly Definition[];
  readonly Comment?: CommentGroup | undefined;
};

/** The most levels that nodes may be nested in each other, in text as in objects. */
export const MAX_NESTING = 200;

type Tree = string | number | boolean | undefined | readonly Tree[] | { readonly [member: string]: Tree };

/** A document as a policy sees it: what is empty is left out, but for texts. */
export function documentValue(document: QueryDocument | SchemaDocument): Value {
  return treeValue(document) ?? new RegoObject();
}

function treeValue(tree: Tree): Value | undefined {
  if (typeof tree !== 'object') return tree;
  if (isList(tree)) {
    const members = tree.map(treeValue).filter((member) => member !== undefined);
    return members.length === 0 ? undefined : members;
  }
  const entries: [string, Value][] = [];
  for (const [name, member] of Object.entries(tree)) {
    const value = treeValue(member);
    if (value !== undefined) entries.push([name, value]);
  }
  return entries.length === 0 ? undefined : new RegoObject(entries);
}

const isList = (tree: Tree): tree is readonly Tree[] => Array.isArray(tree);

/** The name of what a type is or is a list of. */
export function typeName(type: TypeReference): string {
  let inner = type;
  while (inner.NamedType === '' && inner.Elem !== undefined) inner = inner.Elem;
  return inner.NamedType;
}

export function typeText(type: TypeReference): string {
  const inner = type.Elem === undefined || type.NamedType !== '' ? type.NamedType : `[${typeText(type.Elem)}]`;
  return type.NonNull ? `${inner}!` : inner;
}

/** Whether a value of type `given` may stand where `wanted` is asked for. */
export function isCompatible(given: TypeReference, wanted: TypeReference): boolean {
  if (given.NamedType !== wanted.NamedType) return false;
  if (given.Elem !== undefined && (wanted.Elem === undefined || !isCompatible(given.Elem, wanted.Elem))) return false;
  return given.NonNull || !wanted.NonNull;
}
