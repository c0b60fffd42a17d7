import { isArray, type RegoObject, RegoSet, type Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, checkMembers } from './builtin.ts';
import { objectAt, wrongType } from './operands.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/graph
 */

/** Neighbours of a node: members of its array or set; none for any other value. */
function neighbours(edges: Value): readonly Value[] {
  if (isArray(edges)) return edges;
  return edges instanceof RegoSet ? edges.sorted() : [];
}

/** graph.reachable_paths: every path from a root until it ends, leaves the graph, or would come back to itself. */
function reachablePaths(ctx: BuiltinContext, graph: RegoObject, roots: Value): RegoSet {
  if (!isArray(roots) && !(roots instanceof RegoSet)) throw wrongType(2, '{array, set}', roots);
  const paths: Value[] = [];
  const add = (path: readonly Value[]): void => {
    ctx.checkDeadline();
    checkMembers(paths.push(path));
  };
  function follow(node: Value, path: readonly Value[], passed: RegoSet): void {
    const edges = graph.get(node);
    if (edges === undefined) {
      add(path);
      return;
    }
    const here = [...path, node];
    const next = neighbours(edges);
    if (next.length === 0) add(here);
    const seen = new RegoSet([...passed, node]);
    for (const neighbour of next) {
      if (seen.has(neighbour)) add(here);
      else follow(neighbour, here, seen);
    }
  }
  for (const root of neighbours(roots)) {
    const edges = graph.get(root);
    if (edges === undefined) continue;
    const next = neighbours(edges);
    if (next.length === 0) add([root]);
    for (const neighbour of next) follow(neighbour, [root], new RegoSet([root]));
  }
  return new RegoSet(paths);
}

export const graphBuiltins: readonly Builtin[] = [
  {
    name: 'graph.reachable_paths',
    arity: 2,
    run: (ctx, graph, roots = null) => reachablePaths(ctx, objectAt(1, graph), roots),
  },
];
