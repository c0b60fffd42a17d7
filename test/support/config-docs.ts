import { configSchema } from '../../src/config/schema.ts';

type Schema = {
  readonly type?: string;
  readonly const?: unknown;
  readonly description?: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: { readonly [key: string]: Schema };
  readonly patternProperties?: { readonly [pattern: string]: Schema };
};

function typeOf(schema: Schema): string {
  if (schema.anyOf?.some(({ type }) => type === 'null') === true) return schema.anyOf.map(typeOf).join(' or ');
  if (schema.anyOf !== undefined) {
    return schema.anyOf
      .map(({ const: value, type = 'any' }) => (value === undefined ? type : `\`${value}\``))
      .join(', ');
  }
  if (schema.const !== undefined) return `\`${String(schema.const)}\``;
  const range = [schema.minimum, schema.maximum].every((bound) => bound !== undefined)
    ? `, ${schema.minimum} to ${schema.maximum}`
    : '';
  return `${schema.type ?? 'any'}${range}`;
}

function rowsOf(schema: Schema, path: string): string[] {
  const own =
    schema.description === undefined
      ? []
      : [`| \`${path}\` | ${typeOf(schema)} | ${defaultOf(schema)} | ${schema.description} |`];
  const join = (key: string): string => (path === '' ? key : `${path}.${key}`);
  const section = schema.anyOf?.find(({ properties }) => properties !== undefined) ?? schema;
  const inner = Object.entries(section.properties ?? {}).flatMap(([key, item]) => rowsOf(item, join(key)));
  const each = Object.values(schema.patternProperties ?? {}).flatMap((item) => rowsOf(item, join('NAME')));
  const items = schema.items?.properties === undefined ? [] : rowsOf(schema.items, `${path}[]`);
  return [...own, ...inner, ...each, ...items];
}

function defaultOf(schema: Schema): string {
  if (schema.default === undefined) return '';
  const text = JSON.stringify(schema.default);
  return text === '{}' || text === '[]' ? '' : `\`${text}\``;
}

/** docs/config.md: every option of the schema as one table. */
export const configDocs = (): string =>
  [
    '# Configuration',
    '',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how it is written in a configuration
    'Generated from `src/config/schema.ts`; do not edit. The file is YAML; `${NAME}` is replaced by the environment',
    "variable. OPA's keys keep OPA's names and meaning; what is Postern's own is under `postern`. OPA keys that are not",
    'listed here are not honoured: they are named in a warning at start. Unknown keys under `postern` are errors.',
    '`--set a.b=value` and `--set-file a.b=path` override single options.',
    '',
    '| option | type | default | |',
    '|---|---|---|---|',
    ...rowsOf(configSchema as Schema, ''),
    '',
  ].join('\n');
