import { isScalar, type ParsedNode, parseAllDocuments, type Scalar, type ScalarTag, visit } from 'yaml';
import { rawNumber } from '../values/json.ts';
import { resolveNumber } from './yaml-number.ts';

const MAX_ALIASES = 100;
/** What OPA's reader refuses, and line breaks where YAML 1.2 has none. */
const FOREIGN = /[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]|\r(?!\n)/u;
const NUMBERS = ['tag:yaml.org,2002:int', 'tag:yaml.org,2002:float'];
/** Tags that change nothing, or make text of a scalar. */
const HARMLESS = ['str', 'map', 'seq'].map((name) => `tag:yaml.org,2002:${name}`);

const number: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+.0-9]/,
  resolve: resolveNumber,
};

type Parsed = Exclude<ReturnType<typeof parseAllDocuments>, { readonly empty: true }>[number];

/**
 * One YAML document as JSON text, with the value that OPA reads (internal/yaml, on go-yaml v3). Throws Error for what is no
 * YAML or might be read differently: keys that are there twice or are no scalars, tags, directives, several documents,
 * values that JSON does not have; and for too many aliases. Messages say where, but quote nothing.
 */
export function parseYaml(text: string): string {
  if (FOREIGN.test(text)) throw new Error('a control character, or a line break of another kind');
  const documents = parseAllDocuments(text, {
    customTags: (tags) => [number, ...tags.filter((tag) => typeof tag === 'string' || !NUMBERS.includes(tag.tag))],
    resolveKnownTags: false,
    merge: true,
    prettyErrors: false,
    // The library compares each key with all others; requireKeys needs one look at each.
    uniqueKeys: false,
    logLevel: 'silent',
  });
  if ('empty' in documents) return 'null';
  const [document, ...others] = documents;
  if (document === undefined) return 'null';
  requireUsable(document, text);
  if (others.length > 0) throw new Error('more than one document');
  return asJson(resolve(document) ?? null);
}

function asJson(value: unknown): string {
  try {
    return JSON.stringify(value, (_key, item: unknown) => {
      if (typeof item === 'bigint') return rawNumber(String(item));
      if (Number.isNaN(item)) throw new Error('a number that is not finite');
      if (typeof item === 'string' && !item.isWellFormed()) throw new Error('half of a surrogate pair');
      return Object.is(item, -0) ? rawNumber('-0') : item;
    });
  } catch (error) {
    if (error instanceof TypeError) throw new Error('an alias that leads to itself');
    throw error;
  }
}

function requireUsable(document: Parsed, text: string): void {
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw new Error(`not usable as YAML (${problem.code} at offset ${problem.pos[0]})`);
  if (document.directives?.yaml.explicit === true) throw new Error('a directive');
  visit(document, {
    Map: (_key, map) => {
      requirePlainTag(map.tag, map.range);
      requireKeys(map.items);
    },
    Seq: (_key, list) => requirePlainTag(list.tag, list.range),
    Scalar: (_key, scalar) => {
      requirePlainTag(scalar.tag, scalar.range);
      endBlock(scalar, text);
    },
  });
}

const offsetOf = (range: readonly number[] | null | undefined): number => range?.[0] ?? 0;

function requirePlainTag(tag: string | undefined, range: readonly number[] | null | undefined): void {
  if (tag !== undefined && !HARMLESS.includes(tag)) throw new Error(`a tag (at offset ${offsetOf(range)})`);
}

/** A block that the file ends in has no line break at its end when the file has none, for OPA. */
function endBlock(scalar: Scalar, text: string): void {
  const isBlock = scalar.type === 'BLOCK_LITERAL' || scalar.type === 'BLOCK_FOLDED';
  if (!isBlock || text.endsWith('\n') || (scalar.range?.[1] ?? 0) < text.length) return;
  scalar.value = String(scalar.value).replace(/\n$/, '');
}

function resolve(document: Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch {
    throw new Error('an alias that leads nowhere, or too many of them');
  }
}

function requireKeys(items: readonly { readonly key: unknown }[]): void {
  const seen = new Set<string>();
  for (const { key } of items) {
    const offset = offsetOf((key as ParsedNode | null)?.range);
    if (!isScalar(key) || key.value === null) throw new Error(`a key that is no text (at offset ${offset})`);
    if (typeof key.value === 'number' && !isShort(key.value)) {
      throw new Error(`a key that is a number with many digits (at offset ${offset})`);
    }
    const name = String(key.value);
    if (seen.has(name)) throw new Error(`a key is there twice (at offset ${offset})`);
    if (!name.isWellFormed()) throw new Error(`half of a surrogate pair (at offset ${offset})`);
    seen.add(name);
  }
}

/** OPA gives keys single precision, and very large or small ones an exponent. */
const isShort = (key: number): boolean =>
  key === 0 || (Number(key.toPrecision(6)) === key && Math.abs(key) >= 1e-4 && Math.abs(key) < 1e6);
