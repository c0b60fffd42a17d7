import Type, { type Static } from 'typebox';
import { withoutSlashes } from '../lib/without-slashes.ts';
import { type BundleConfig, polling, signing, trigger } from './bundle.ts';
import { substitute } from './env.ts';
import { count, flag, text } from './kinds.ts';

/** https://www.openpolicyagent.org/docs/management-discovery */
export const discovery = Type.Object(
  {
    resource: Type.Optional(text('Where the bundle is, as with `bundles.NAME.resource`.')),
    name: Type.Optional(text('The older spelling: `PREFIX/NAME` is the resource, and NAME the decision.')),
    prefix: text('See `name`.', { default: 'bundles' }),
    service: Type.Optional(text('Name of an entry of `services`. Optional when there is exactly one.')),
    decision: Type.Optional(
      text('Path of the configuration in the bundle. Left out: `name`, or all of its data.', {
        pattern: '^/*[^/]+(?:/[^/]+)*/*$',
      }),
    ),
    polling,
    trigger,
    signing: Type.Optional(signing),
    persist: flag('Keep the last good version in `persistence_directory`, for a start without the server.', false),
    size_limit_bytes: count('Refuse a bundle whose unpacked content is larger.', 209_715_200, 1, 2_147_483_647),
  },
  { description: 'A bundle whose data, or policy, is further configuration.' },
);

export type DiscoveryConfig = Static<typeof discovery>;

/** The same as a bundle that is asked for. */
export function discoveryBundle(config: DiscoveryConfig): BundleConfig {
  const { resource, name = '', prefix, decision: _decision, ...rest } = config;
  return { ...rest, resource: resource ?? `${withoutSlashes(prefix)}/${withoutSlashes(name)}` };
}

/** Where in the bundle the configuration is; empty: all of it. */
export const discoveryPath = ({ decision, name }: DiscoveryConfig): readonly string[] =>
  (decision ?? name ?? '').split(/[/.]/).filter(Boolean);

export type Tree = { readonly [key: string]: unknown };
export const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The configuration of a discovery bundle under the one that the process was started with, which goes before it key by
 * key; `overridden` are the keys where that made a difference.
 */
export function mergeDiscovered(discovered: Tree, boot: Tree): { readonly tree: Tree; readonly overridden: string[] } {
  const overridden: string[] = [];
  const merge = (below: Tree, above: Tree, path: string): Tree => {
    const entries = Object.entries(above).map(([key, value]) => {
      const other = Object.hasOwn(below, key) ? below[key] : undefined;
      if (isTree(value) && isTree(other)) return [key, merge(other, value, `${path}${key}.`)] as const;
      if (other !== undefined && JSON.stringify(other) !== JSON.stringify(value)) overridden.push(path + key);
      return [key, value] as const;
    });
    return Object.fromEntries([...Object.entries(below), ...entries]);
  };
  return { tree: merge(discovered, boot, ''), overridden };
}

/** Replaces variables in all texts, whose structure their values cannot change. Throws for keys that no configuration has. */
export function substituteAll(value: unknown, env: Parameters<typeof substitute>[1]): unknown {
  if (typeof value === 'string') return substitute(value, env);
  if (Array.isArray(value)) return value.map((item) => substituteAll(item, env));
  if (!isTree(value)) return value;
  if (Object.hasOwn(value, '__proto__')) throw new Error('__proto__ is no key of a configuration');
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substituteAll(item, env)]));
}
