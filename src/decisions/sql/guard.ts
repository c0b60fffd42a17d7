import { allowedFunctions } from './functions.ts';

/*
 * What a statement may be: one SELECT over the table `decisions`, its own subqueries and functions of a list. It is
 * looked at as DuckDB's own parser has read it (json_serialize_sql), so that there is one reading of it only. This is the
 * first of three fences: the instance that runs it can open no other files, and its process is ended when it does not end.
 */

type Tree = { readonly [key: string]: unknown };
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

export const TABLE = 'decisions';

/** Nodes, tables and modifiers of a query; expressions have a `class`. */
const kinds = new Set([
  ...['SELECT_NODE', 'SET_OPERATION_NODE', 'RECURSIVE_CTE_NODE', 'CTE_NODE'],
  ...['EMPTY', 'BASE_TABLE', 'SUBQUERY', 'JOIN', 'TABLE_FUNCTION', 'EXPRESSION_LIST', 'PIVOT', 'SHOW_REF'],
  ...['ORDER_MODIFIER', 'LIMIT_MODIFIER', 'LIMIT_PERCENT_MODIFIER', 'DISTINCT_MODIFIER'],
  ...['ASCENDING', 'DESCENDING', 'ORDER_DEFAULT'],
]);
const classes = new Set([
  ...['COLUMN_REF', 'CONSTANT', 'FUNCTION', 'WINDOW', 'CAST', 'COMPARISON', 'CONJUNCTION', 'OPERATOR', 'CASE'],
  ...['BETWEEN', 'STAR', 'SUBQUERY', 'LAMBDA', 'LAMBDA_REF', 'COLLATE', 'POSITIONAL_REFERENCE'],
]);
const shows = new Set(['DESCRIBE', 'SUMMARY']);
/** Of DuckDB's own tables and views, also when a subquery takes such a name for itself. */
const RESERVED = /^(?:duckdb_|pg_|sqlite_|pragma_|information_schema)/i;
const MAX_NODES = 20_000;

/** The problem with what json_serialize_sql said of a statement; undefined when it may run. */
export function problemOf(serialized: string): string | undefined {
  const tree = JSON.parse(serialized) as Tree;
  if (tree['error'] === true) {
    if (tree['error_type'] === 'not implemented') return 'only SELECT is possible';
    return String(tree['error_message'] ?? 'it cannot be read').split('\n', 1)[0];
  }
  const statements = tree['statements'];
  if (!Array.isArray(statements) || statements.length !== 1) return 'exactly one statement is possible';
  const [statement] = statements as unknown[];
  if (isTree(statement) && Array.isArray(statement['named_param_map']) && statement['named_param_map'].length > 0) {
    return 'parameters are not possible';
  }
  let left = MAX_NODES;
  return visit(statement, new Set());

  function visit(value: unknown, ctes: ReadonlySet<string>): string | undefined {
    if (--left < 0) return 'the statement is too long';
    if (Array.isArray(value)) return firstOf(value, ctes);
    if (!isTree(value)) return undefined;
    const named = ctesOf(value);
    const reserved = named.find((name) => RESERVED.test(name));
    if (reserved !== undefined) return `${reserved}: a name that is taken`;
    const inner = named.length === 0 ? ctes : new Set([...ctes, ...named]);
    return problemWith(value, inner) ?? firstOf(Object.values(value), inner);
  }

  function firstOf(values: readonly unknown[], ctes: ReadonlySet<string>): string | undefined {
    for (const value of values) {
      const problem = visit(value, ctes);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
}

function ctesOf(node: Tree): readonly string[] {
  const map = node['cte_map'];
  const entries = isTree(map) && Array.isArray(map['map']) ? (map['map'] as unknown[]) : [];
  const names = entries.flatMap((entry) => (isTree(entry) ? [String(entry['key']).toLowerCase()] : []));
  const own = node['cte_name'];
  return typeof own === 'string' ? [...names, own.toLowerCase()] : names;
}

function problemWith(node: Tree, ctes: ReadonlySet<string>): string | undefined {
  const { class: expression, type: kind } = node;
  if (typeof expression === 'string') {
    if (!classes.has(expression)) return `${expression.toLowerCase()}: not possible here`;
  } else if (typeof kind === 'string' && !kinds.has(kind) && !kind.endsWith('_TYPE_INFO')) {
    return `${kind.toLowerCase()}: not possible here`;
  }
  for (const place of ['catalog', 'catalog_name', 'schema', 'schema_name']) {
    const name = node[place];
    if (typeof name === 'string' && name !== '' && !(place === 'schema' && name === 'main')) {
      return `${name}: there are no other schemas`;
    }
  }
  if ('function_name' in node) {
    const name = String(node['function_name']).toLowerCase();
    if (!allowedFunctions.has(name)) return `${name}: there is no such function here`;
  }
  if (kind === 'BASE_TABLE') {
    const name = String(node['table_name']).toLowerCase();
    if (name !== TABLE && !ctes.has(name)) return `${name}: there is no table but ${TABLE}`;
  }
  if (kind === 'SHOW_REF' && (!isTree(node['query']) || !shows.has(String(node['show_type'])))) {
    return 'only SELECT and DESCRIBE are possible';
  }
  return undefined;
}
