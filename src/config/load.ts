import { Settings } from 'typebox/system';
import { Value } from 'typebox/value';
import { parse } from 'yaml';
import { messageOf } from '../lib/message.ts';
import { archiveProblems } from './archive-address.ts';
import { addressProblems, serviceProblems } from './bundle-addresses.ts';
import { decisionLogsProblems, fillLogService } from './decision-logs.ts';
import { discoveryBundle, isTree, mergeDiscovered, substituteAll, type Tree } from './discovery.ts';
import { substitute } from './env.ts';
import { applySet, applySetFile } from './overrides.ts';
import { type BundleConfig, type Config, configSchema } from './schema.ts';
import { serviceContradictions, serviceWarnings, unknownCredentials } from './service.ts';
import { problemsOfKeys, problemsOfSigning } from './signing.ts';
import { statusProblems } from './status.ts';
import { fillEndpoints, spiffeContradictions } from './workload-api.ts';

/** What a configuration is made from. */
export type ConfigSource = {
  /** YAML or JSON text; undefined: all defaults. */
  readonly text: string | undefined;
  readonly env: { readonly [name: string]: string | undefined };
  readonly set: readonly string[];
  readonly setFile: readonly string[];
  readonly readText: (file: string) => string;
  readonly isReadable: (file: string) => boolean;
  /** Of a discovery bundle: further configuration, under the rest. */
  readonly discovered?: Tree | undefined;
};

export type LoadedConfig =
  | {
      readonly ok: true;
      readonly config: Config;
      readonly warnings: readonly string[];
      /** Keys of what was discovered that the rest has otherwise. */
      readonly overridden: readonly string[];
    }
  | { readonly ok: false; readonly problems: readonly string[] };

const MAX_ALIASES = 100;
// The default stops at eight, and whoever starts a server wants to hear of everything at once.
Settings.Set({ maxErrors: 1000 });

/** Reads a configuration: every problem at once, each with its path, or one complete frozen value. */
export function loadConfig(source: ConfigSource): LoadedConfig {
  let tree: Tree;
  let overridden: readonly string[] = [];
  try {
    const parsed: unknown =
      source.text === undefined ? {} : parse(substitute(source.text, source.env), { maxAliasCount: MAX_ALIASES });
    if (!isTree(parsed ?? {})) return { ok: false, problems: ['the configuration is not a mapping'] };
    const boot = { ...(parsed ?? {}) };
    for (const assignment of source.set) applySet(boot, assignment);
    for (const assignment of source.setFile) applySetFile(boot, assignment, source.readText);
    ({ tree, overridden } = withDiscovered(normalised(boot), source));
  } catch (error) {
    return { ok: false, problems: [messageOf(error)] };
  }
  fillEndpoints(tree, source.env);
  const refused = [...unknownCredentials(tree['services']), ...fillLogService(tree)];
  const warnings: string[] = [];
  const completed = complete(tree, configSchema as Schema, '', warnings);
  const invalid = describe(Value.Errors(configSchema, completed));
  const config = completed as Config;
  // Only sections of the right shape can be looked at more closely.
  const isSound = (section: string): boolean => !invalid.some((problem) => problem.startsWith(section));
  const problems = [...refused, ...invalid, ...contradictionsIn(config, isSound, source.isReadable)];
  if (problems.length > 0) return { ok: false, problems };
  return {
    ok: true,
    config: deepFreeze(config),
    warnings: [...warnings, ...risksIn(config), ...serviceWarnings(config.services)],
    overridden,
  };
}

/** OPA takes a list of named services as well as a mapping, and null sections as absent. */
function normalised(tree: Tree): Tree {
  const services = tree['services'];
  const named = Array.isArray(services)
    ? { services: Object.fromEntries(services.filter(isTree).map(({ name, ...rest }) => [String(name), rest])) }
    : {};
  return Object.fromEntries(Object.entries({ ...tree, ...named }).filter(([, value]) => value !== null));
}

/** Where discovery looks cannot be discovered. */
function withDiscovered(boot: Tree, { discovered, env }: ConfigSource): ReturnType<typeof mergeDiscovered> {
  if (discovered === undefined) return { tree: boot, overridden: [] };
  const { discovery: _ignored, ...rest } = normalised(substituteAll(discovered, env) as Tree);
  return mergeDiscovered(rest, boot);
}

type Schema = {
  readonly default?: unknown;
  readonly properties?: { readonly [key: string]: Schema };
  readonly additionalProperties?: boolean | Schema;
  readonly patternProperties?: { readonly [pattern: string]: Schema };
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
};

/**
 * Fills in defaults at every depth, and drops the OPA keys that are not honoured, saying so by name. Our own section is
 * closed: what is unknown there stays for the validator to refuse. Where anything may stand, it stays.
 */
function complete(value: unknown, schema: Schema, path: string, warnings: string[]): unknown {
  if (value === undefined) {
    return schema.default === undefined ? undefined : complete(structuredClone(schema.default), schema, path, warnings);
  }
  const section = isTree(value) ? schema.anyOf?.find((branch) => branch.properties !== undefined) : undefined;
  if (section !== undefined) return complete(value, section, path, warnings);
  const { items, properties } = schema;
  if (Array.isArray(value) && items !== undefined) {
    return value.map((item: unknown, i) => complete(item, items, join(path, String(i)), warnings));
  }
  if (!isTree(value)) return value;
  const each = Object.values(schema.patternProperties ?? {})[0];
  const result: { [key: string]: unknown } = {};
  for (const [key, item] of Object.entries(value)) {
    if (each !== undefined) result[key] = complete(item, each, join(path, key), warnings);
    else if (properties?.[key] !== undefined) continue;
    else if (schema.additionalProperties !== undefined || properties === undefined) result[key] = item;
    else warnings.push(`${join(path, key)} is not honoured`);
  }
  for (const [key, property] of Object.entries(properties ?? {})) {
    const filled = complete(value[key], property, join(path, key), warnings);
    if (filled !== undefined) result[key] = filled;
  }
  return result;
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

type Finding = {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
};

function describe(findings: readonly Finding[]): string[] {
  const lines = findings.flatMap(({ keyword, instancePath, message, params }) => {
    const path = instancePath.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~');
    if (keyword === 'additionalProperties') {
      const { additionalProperties } = params as { readonly additionalProperties?: readonly string[] };
      return (additionalProperties ?? []).map((key) => `${join(path, key)}: unknown option`);
    }
    // The schema behind an unknown option is `false`, and the line above names the option already; of several constants
    // each is reported, and the list of all is written below.
    if (keyword === 'boolean' || keyword === 'anyOf') return [];
    // Of what may be null as well, the other line says what it should be.
    if (keyword === 'type' && message === 'must be null') return [];
    if (keyword === 'const') {
      const allowed = findings.filter((other) => other.keyword === 'const' && other.instancePath === instancePath);
      const values = allowed.map((other) => JSON.stringify((other.params as { allowedValue: unknown }).allowedValue));
      return [`${path}: must be ${values.join(' or ')}`];
    }
    return [`${path === '' ? 'configuration' : path}: ${message}`];
  });
  return [...new Set(lines)];
}

/** What no single option can be blamed for. */
function contradictionsIn(
  config: Config,
  isSound: (section: string) => boolean,
  isReadable: (file: string) => boolean,
): string[] {
  const problems: string[] = [];
  const services = isSound('services') ? Object.keys(config.services) : [];
  if (isSound('services')) problems.push(...Object.entries(config.services).flatMap(serviceProblems));
  if (isSound('bundles') && isSound('services')) {
    problems.push(
      ...Object.entries(config.bundles).flatMap(([name, bundle]) => bundleProblems(name, bundle, config.services)),
    );
  }
  if (isSound('discovery') && isSound('services')) problems.push(...discoveryProblems(config, isSound('keys')));
  if (isSound('keys')) problems.push(...problemsOfKeys(config.keys));
  if (isSound('keys') && isSound('bundles')) problems.push(...problemsOfSigning(config.bundles, config.keys));
  if (isSound('postern') && isSound('bundles')) {
    const isKnown = (name: string): boolean =>
      Object.hasOwn(config.bundles, name) || (name === 'discovery' && config.discovery !== undefined);
    const unknown = config.postern.bundles.allow_rollback.filter((name) => !isKnown(name));
    problems.push(...unknown.map((name) => `postern.bundles.allow_rollback: no bundle is called ${name}`));
  }
  if (isSound('services') && isSound('keys')) problems.push(...serviceContradictions(config.services, config.keys));
  if (isSound('services') && isSound('status')) problems.push(...statusProblems(config.status, services));
  if (isSound('services') && isSound('decision_logs')) {
    problems.push(...decisionLogsProblems(config.decision_logs, services));
  }
  const plugin = isSound('plugins') ? config.plugins.envoy_ext_authz_grpc : undefined;
  if (plugin?.query !== undefined && !/^data(\.[A-Za-z_][A-Za-z0-9_]*)+$/.test(plugin.query)) {
    problems.push('plugins.envoy_ext_authz_grpc.query: only a reference such as data.envoy.authz.allow is supported');
  }
  const identity = isSound('postern') ? config.postern.identity : undefined;
  if (identity?.required === true && identity.issuers.length === 0 && identity.workload.jwt_svid === undefined) {
    problems.push('postern.identity.issuers: needed, because tokens are required');
  }
  if (identity?.rules.some(({ paths }) => paths.length > 0) === true && config.postern.paths === 'off') {
    problems.push('postern.identity.rules: paths cannot be relied on while postern.paths is off');
  }
  problems.push(...geoipContradictions(isSound('postern') ? config.postern.context : undefined, isReadable));
  const tokenFile = isSound('postern') ? config.postern.api.token_file : null;
  if (tokenFile !== null && !isReadable(tokenFile)) {
    problems.push(`postern.api.token_file: ${tokenFile} cannot be read`);
  }
  const zone = isSound('postern') ? config.postern.context?.time_zone : undefined;
  if (zone !== undefined && !isTimeZone(zone)) problems.push(`postern.context.time_zone: ${zone} is no time zone`);
  problems.push(...issuerContradictions(identity, isReadable));
  if (isSound('postern')) problems.push(...archiveProblems(config.postern.store?.archive ?? null));
  if (isSound('postern')) problems.push(...spiffeContradictions(config, isReadable));
  const descriptor = plugin?.['proto-descriptor'];
  if (descriptor !== undefined && !isReadable(descriptor)) {
    problems.push(`plugins.envoy_ext_authz_grpc.proto-descriptor: ${descriptor} cannot be read`);
  }
  const buckets = plugin?.['grpc-request-duration-seconds-buckets'] ?? [];
  if (buckets.some((bound, i) => bound <= (buckets[i - 1] ?? 0))) {
    problems.push('plugins.envoy_ext_authz_grpc.grpc-request-duration-seconds-buckets: bounds must grow');
  }
  return problems;
}

/** What is wrong with where and how a bundle is looked for. */
function bundleProblems(name: string, bundle: BundleConfig, services: Config['services']): string[] {
  const problems: string[] = [];
  const { service, resource, polling } = bundle;
  const names = Object.keys(services);
  if (polling.min_delay_seconds > polling.max_delay_seconds) {
    problems.push(`bundles.${name}.polling: min_delay_seconds is above max_delay_seconds`);
  }
  if (service !== undefined && !names.includes(service)) {
    problems.push(`bundles.${name}.service: no service is called ${service}`);
  }
  problems.push(...addressProblems(name, bundle, services));
  const isAbsolute = resource !== undefined && /^(?:https?|file|s3):\/\//.test(resource);
  if (service === undefined && !isAbsolute && names.length !== 1) {
    problems.push(`bundles.${name}.service: needed, because there are ${names.length} services`);
  }
  const origin = service === undefined ? undefined : originOf(services[service]?.url);
  if (isAbsolute && /^https?:/.test(resource) && origin !== undefined && originOf(resource) !== origin) {
    problems.push(`bundles.${name}.resource: not of the origin of its service, whose credentials are for that only`);
  }
  return problems;
}

/** The same for the discovery bundle. */
function discoveryProblems({ discovery, services, keys }: Config, areKeysSound: boolean): string[] {
  if (discovery === undefined) return [];
  if (discovery.resource === undefined && discovery.name === undefined) return ['discovery.resource: needed'];
  const bundle = discoveryBundle(discovery);
  return [
    ...bundleProblems('discovery', bundle, services),
    ...(areKeysSound ? problemsOfSigning({ discovery: bundle }, keys) : []),
  ].map((problem) => problem.replace('bundles.discovery', 'discovery'));
}

/** What works as it is written, and needs somebody to have thought of something. */
function risksIn({ plugins, postern }: Config): string[] {
  const { addr } = plugins.envoy_ext_authz_grpc;
  const isLocal = /^(?:unix:|(?:grpc:\/\/)?(?:localhost|127\.[0-9.]+|\[::1\]):)/.test(addr);
  if ((postern.identity?.token.metadata ?? null) === null || isLocal || postern.tls?.client_ca !== undefined) return [];
  return [
    `postern.identity.token.metadata is believed from whoever can connect to ${addr}: postern.tls.client_ca would admit only Envoy`,
  ];
}

function issuerContradictions(
  identity: Config['postern']['identity'],
  isReadable: (file: string) => boolean,
): string[] {
  const problems: string[] = [];
  const metadata = identity?.token.metadata ?? null;
  if (metadata !== null && identity?.issuers.length === 0) {
    problems.push('postern.identity.token.metadata: needs issuers');
  }
  (identity?.issuers ?? []).forEach((issuer, i) => {
    const at = `postern.identity.issuers.${i}`;
    if (identity?.issuers.findIndex((other) => other.issuer === issuer.issuer) !== i) {
      problems.push(`${at}.issuer: ${issuer.issuer} is there already`);
    }
    const places = [issuer.jwks_uri, issuer.jwks_file, issuer.jwks, issuer.discovery || undefined];
    const count = places.filter((place) => place !== undefined).length;
    if (issuer.verified_by === 'envoy') {
      if (metadata === null) problems.push(`${at}.verified_by: envoy needs postern.identity.token.metadata`);
      if (count > 0) problems.push(`${at}.verified_by: envoy means that there are no keys`);
      if (issuer.typ !== undefined && metadata?.header_key === undefined) {
        problems.push(`${at}.typ: needs postern.identity.token.metadata.header_key`);
      }
    } else if (count !== 1) {
      problems.push(`${at}: exactly one of jwks_uri, jwks_file, jwks and discovery is needed`);
    }
    if (issuer.jwks_mirrors.length > 0 && issuer.jwks_uri === undefined && !issuer.discovery) {
      problems.push(`${at}.jwks_mirrors: needs jwks_uri or discovery`);
    }
    if (issuer.jwks_file !== undefined && !isReadable(issuer.jwks_file)) {
      problems.push(`${at}.jwks_file: ${issuer.jwks_file} cannot be read`);
    }
  });
  return problems;
}

/** The files of `postern.context.geoip`. */
export const geoipFiles = ({ geoip }: Pick<NonNullable<Config['postern']['context']>, 'geoip'>): readonly string[] =>
  geoip === null ? [] : typeof geoip === 'string' ? [geoip] : geoip;

function geoipContradictions(context: Config['postern']['context'], isReadable: (file: string) => boolean): string[] {
  const files = context === undefined ? [] : geoipFiles(context);
  return files
    .filter((file) => !isReadable(file))
    .map((file) => `postern.context.geoip: ${file} cannot be read; put the database there or take it out`);
}
const originOf = (url: string | undefined): string | undefined =>
  url === undefined ? undefined : URL.parse(url)?.origin;

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
