import { isDeepStrictEqual } from 'node:util';
import type { Policy } from '../bundles/activate.ts';
import { BundleError } from '../bundles/error.ts';
import { isTree, type Tree } from '../config/discovery.ts';
import type { Config } from '../config/schema.ts';
import { statusService } from '../config/status.ts';
import { preparePolicy } from '../policy/prepare.ts';
import { stringify } from '../values/json.ts';
import { INLINE_BUILTIN_MS, limitsOf } from './policy-holder.ts';

/**
 * The configuration in a discovery bundle: what its policy says at `path`, if it has one, or its data there. Rejects with
 * BundleError or EngineError.
 */
export async function readDiscovered(policy: Policy, path: readonly string[], config: Config): Promise<Tree> {
  const value = policy.modules.length === 0 ? valueAt(policy, path) : await answerOf(policy, path.join('/'), config);
  if (isTree(value)) return value;
  throw new BundleError(`there is no configuration at ${['data', ...path].join('.')}`);
}

function valueAt({ data }: Policy, path: readonly string[]): unknown {
  let value: unknown = JSON.parse(Buffer.from(data).toString());
  for (const key of path) value = isTree(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  return value;
}

async function answerOf(policy: Policy, path: string, config: Config): Promise<unknown> {
  if (path === '') throw new BundleError('the bundle has a policy, and discovery.decision does not say what to ask it');
  const { inline_steps: steps } = config.postern.evaluation;
  const prepared = await preparePolicy(
    policy,
    {
      path,
      limits: limitsOf(config),
      inline: { steps, builtinMs: INLINE_BUILTIN_MS },
      network: undefined,
    },
    undefined,
  );
  try {
    const evaluation = await prepared.evaluate(path, '{}', Number.POSITIVE_INFINITY);
    if (!evaluation.ok) throw new BundleError(`the policy in it has no answer: ${evaluation.cause}`);
    const [result] = evaluation.results;
    return result === undefined ? undefined : JSON.parse(stringify(result));
  } finally {
    prepared.close();
  }
}

/** Throws BundleError when a discovered configuration changes what it is found and verified with. */
export function requireSameRoots(discovered: Config, boot: Config): void {
  const [only = ''] = Object.keys(boot.services);
  const service = boot.discovery?.service ?? only;
  if (!isDeepStrictEqual(discovered.services[service], boot.services[service])) {
    throw new BundleError(`services.${service} is where it comes from, and cannot be changed by it`);
  }
  const key = Object.keys(boot.keys).find((id) => !isDeepStrictEqual(discovered.keys[id], boot.keys[id]));
  if (key !== undefined)
    throw new BundleError(`keys.${key} is of the first configuration, and cannot be changed by it`);
}

/** Sections of the configuration that can change while the server runs: what bundles there are, and where. */
const RELOADED: ReadonlySet<string> = new Set(['bundles', 'services', 'keys', 'postern.bundles', 'postern.s3']);

/** Names of the sections that differ and need a start. */
export function sectionsToStart(running: Config, wanted: Config): readonly string[] {
  const [before, after] = [sectionsOf(running), sectionsOf(wanted)];
  const names = [...new Set([...before.keys(), ...after.keys()])];
  const differing = names.filter(
    (name) => !RELOADED.has(name) && !isDeepStrictEqual(before.get(name), after.get(name)),
  );
  const told: readonly (readonly [section: string, service: (config: Config) => string | undefined])[] = [
    ['status', ({ status, services }) => statusService(status, Object.keys(services))],
    ['decision_logs', ({ decision_logs }) => decision_logs.service],
  ];
  const differingServices = told.filter(([, serviceOf]) => {
    const [one, other] = [running, wanted].map((config) => {
      const name = serviceOf(config);
      return name === undefined ? undefined : [name, config.services[name]];
    });
    return !isDeepStrictEqual(one, other);
  });
  return [...new Set([...differing, ...differingServices.map(([section]) => section)])];
}

export const sameBundles = (a: Config, b: Config): boolean => {
  const [one, other] = [sectionsOf(a), sectionsOf(b)];
  return [...RELOADED].every((name) => isDeepStrictEqual(one.get(name), other.get(name)));
};

const sectionsOf = ({ postern, ...rest }: Config): ReadonlyMap<string, unknown> =>
  new Map<string, unknown>([
    ...Object.entries(rest),
    ...Object.entries(postern).map(([name, value]) => [`postern.${name}`, value] as const),
  ]);
