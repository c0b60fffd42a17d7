import type { Evaluation, LogRule, Snapshot } from '../model/evaluation.ts';
import type { Json } from '../model/json.ts';
import { isObject } from '../values/json.ts';
import type { PolicyModule } from './admission.ts';
import { EngineError, type PolicyInstance } from './engine/engine.ts';
import type { Lane } from './lane.ts';

/** An instance, and which of its entrypoints it is asked for. */
export type Share = { readonly instance: PolicyInstance; readonly entrypoints: readonly string[] };
type Route = { readonly instance: PolicyInstance; readonly entrypoint: string; readonly rest: readonly string[] };

/** The least input that a policy can be asked with; every policy must survive it. */
const SMOKE_INPUT = '{"attributes":{"request":{"http":{}}},"parsed_path":[""],"parsed_query":{}}';

/** Where a policy's rules about the log are, if it has such. */
export type LogPaths = { readonly drop: string; readonly mask: string };

/** What answers of a snapshot, whichever bundles it comes from. */
export type PreparedSnapshot = Omit<Snapshot, 'revisions' | 'digests'> & {
  /** Whether it calls built-ins that have to wait for the network. */
  readonly waits: boolean;
  readonly memoryBytes: () => number;
  /** Once no new request will pin it. */
  readonly close: () => void;
};

/**
 * Makes a snapshot of `shares` that answers for `path`: asks once, so that a policy that cannot run is found before it
 * serves. What takes an instance too long is left to the `lane`. Rejects with EngineError.
 */
export async function prepareSnapshot(
  shares: readonly Share[],
  path: string,
  lane?: Pick<Lane, 'evaluate' | 'close'>,
  logPaths?: LogPaths,
): Promise<PreparedSnapshot> {
  const instances = shares.map(({ instance }) => instance);
  const routes = new Map<string, Route | undefined>();
  const routeOf = (asked: string): Route | undefined => {
    if (!routes.has(asked)) {
      // Paths come from the API too; what is not served is not worth remembering.
      const found = findRoute(shares, asked);
      if (found === undefined) return undefined;
      routes.set(asked, found);
    }
    return routes.get(asked);
  };
  const own = routeOf(path);
  if (own === undefined) {
    const served = shares.flatMap(({ entrypoints }) => entrypoints).join(', ') || 'none';
    throw new EngineError(
      `no entrypoint serves ${path} (the bundle has: ${served}); build it with \`opa build -t wasm -e ${path}\``,
    );
  }
  function evaluate(asked: string, input: string, untilMs?: number): Evaluation | Promise<Evaluation> {
    const route = routeOf(asked);
    if (route === undefined) {
      return { ok: false, reason: 'decision_undefined', cause: `no entrypoint serves ${asked}` };
    }
    const { instance, entrypoint, rest } = route;
    const evaluation = instance.evaluate(entrypoint, input, untilMs);
    if (evaluation instanceof Promise) return evaluation.then((answer) => below(answer, rest));
    const isLarge =
      !evaluation.ok && (evaluation.reason === 'evaluation_timeout' || evaluation.reason === 'out_of_memory');
    if (isLarge && lane !== undefined && untilMs !== undefined) return lane.evaluate(asked, input, untilMs);
    return below(evaluation, rest);
  }

  // Without a time to wait until, an evaluation is not left to the lane.
  const ruleAt = (rule: string): LogRule | undefined =>
    routeOf(rule) === undefined ? undefined : (event) => evaluate(rule, event);
  const rules = logPaths === undefined ? {} : { drop: ruleAt(logPaths.drop), mask: ruleAt(logPaths.mask) };

  const smoke = await evaluate(path, SMOKE_INPUT);
  if (!smoke.ok && (smoke.reason === 'evaluation_trap' || smoke.reason === 'out_of_memory')) {
    throw new EngineError(`the policy fails when it is asked: ${smoke.cause}`);
  }
  return {
    path,
    reads: own.instance.reads(own.entrypoint),
    evaluate,
    logRules: rules.drop === undefined && rules.mask === undefined ? undefined : rules,
    waits: instances.some(({ waits }) => waits),
    memoryBytes: () => instances.reduce((sum, instance) => sum + instance.memoryBytes(), 0),
    close: () => lane?.close(),
  };
}

/** A module could claim what the manifest, or the roots of its bundle, give to another one. */
export function shareOf({ entrypoints, roots }: PolicyModule, instance: PolicyInstance): Share {
  const isOwned = (path: string): boolean =>
    roots.some((root) => root === '' || path === root || path.startsWith(`${root}/`));
  const isGiven = (path: string): boolean => entrypoints.length === 0 || entrypoints.includes(path);
  return { instance, entrypoints: instance.entrypoints.filter((path) => isOwned(path) && isGiven(path)) };
}

/** The entrypoint that is `path` or its longest prefix; what is left is looked up in its result. */
function findRoute(shares: readonly Share[], path: string): Route | undefined {
  const segments = path.split('/');
  for (let length = segments.length; length > 0; length--) {
    const entrypoint = segments.slice(0, length).join('/');
    const share = shares.find(({ entrypoints }) => entrypoints.includes(entrypoint));
    if (share !== undefined) return { instance: share.instance, entrypoint, rest: segments.slice(length) };
  }
  return undefined;
}

function below(evaluation: Evaluation, rest: readonly string[]): Evaluation {
  if (!evaluation.ok || rest.length === 0) return evaluation;
  return { ...evaluation, results: evaluation.results.flatMap((result) => descend(result, rest)) };
}

function descend(value: Json, path: readonly string[]): readonly Json[] {
  let current: Json | undefined = value;
  for (const segment of path) {
    if (!isObject(current) || !Object.hasOwn(current, segment)) return [];
    current = current[segment];
  }
  return current === undefined ? [] : [current];
}
