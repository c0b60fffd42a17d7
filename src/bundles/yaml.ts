import { isScalar, type ParsedNode, parseDocument, type ScalarTag, visit } from 'yaml';
import { rawNumber } from '../values/json.ts';

const MAX_ALIASES = 100;

/** Integers as OPA reads them: beside YAML 1.2's also `017`, `0b1` and `1_000`, and all of their digits. */
const integer: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+]?(?:0[bB][01_]+|0[xX][0-9a-fA-F_]+|0o[0-7_]+|[0-9][0-9_]*)$/,
  resolve: (text) => {
    const negative = text.startsWith('-');
    const digits = text.replace(/^[-+]/, '').replaceAll('_', '').toLowerCase();
    const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
    return negative ? -value : value;
  },
};

/**
 * One YAML document as JSON text. Throws Error for what is no YAML, for keys that are there twice or are no scalars, for
 * unknown tags, for values that JSON does not have and for too many aliases. Messages say where, but quote nothing.
 */
export function parseYaml(text: string): string {
  const document = parseDocument(text, {
    customTags: (tags) => [integer, ...tags],
    merge: true,
    prettyErrors: false,
    // The library compares each key with all others; requireKeys needs one look at each.
    uniqueKeys: false,
    logLevel: 'silent',
  });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw new Error(`not usable as YAML (${problem.code} at offset ${problem.pos[0]})`);
  visit(document, { Map: (_key, map) => requireKeys(map.items) });
  return JSON.stringify(resolve(document) ?? null, (_key, item: unknown) => {
    if (typeof item === 'bigint') return rawNumber(String(item));
    if (typeof item === 'number' && !Number.isFinite(item)) throw new Error('a number that is not finite');
    return item;
  });
}

function resolve(document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch {
    throw new Error('an alias that leads nowhere, or too many of them');
  }
}

function requireKeys(items: readonly { readonly key: unknown }[]): void {
  const seen = new Set<string>();
  for (const { key } of items) {
    const offset = (key as ParsedNode | null)?.range?.[0] ?? 0;
    if (!isScalar(key) || key.value === null) throw new Error(`a key that is no text (at offset ${offset})`);
    const name = String(key.value);
    if (seen.has(name)) throw new Error(`a key is there twice (at offset ${offset})`);
    seen.add(name);
  }
}
