import { isAlias, isMap, isNode, isScalar, isSeq, Lexer, parseAllDocuments, type Scalar as ScalarNode } from 'yaml';
import { depthOf } from '../../../values/json.ts';
import { fromDouble, number } from '../../../values/number.ts';
import { RegoObject, type Value } from '../../../values/value.ts';
import { BuiltinError, checkMembers, HaltError } from '../builtin.ts';
import { floatText, resolveScalar, type Scalar, timestampText } from './scalars.ts';

/*
 * YAML as OPA reads it (https://yaml.org/spec/1.2.2/): the first document of a text, all of which has to be good. The
 * library reads syntax; what scalars, keys, merges and aliases mean is that of https://pkg.go.dev/go.yaml.in/yaml/v3.
 */

const MAX_YAML_CHARS = 262_144;
/** What Go's reader takes. */
const READABLE = /^[\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u;

const MAX_DEPTH = 1_000;

const PREFIX = 'tag:yaml.org,2002:';

/** Whether a text may expand further: up to 99 % of small documents may come from aliases, of large ones 10 %. */
function mayExpand(decoded: number, aliased: number): boolean {
  if (aliased <= 100 || decoded <= 1_000) return true;
  const part = (Math.min(Math.max(decoded, 400_000), 4_000_000) - 400_000) / 3_600_000;
  return aliased / decoded <= 0.99 - 0.89 * part;
}

type Documents = ReturnType<typeof parseAllDocuments>;

function parseDocuments(text: string): Documents {
  if (text.length > MAX_YAML_CHARS) throw new HaltError('eval_limit_error', 'the YAML is too long');
  if (!READABLE.test(text)) throw new BuiltinError('yaml: control characters are not allowed');
  try {
    return parseAllDocuments(text, {
      // Scalars stay text; yaml-scalars.ts tells what they mean.
      schema: 'failsafe',
      resolveKnownTags: false,
      prettyErrors: false,
      // The library compares each key with all others.
      uniqueKeys: false,
      logLevel: 'silent',
    });
  } catch {
    throw new BuiltinError('yaml: nested too deep');
  }
}

/** Throws BuiltinError. */
function requireGood(documents: Documents, text: string): void {
  const isBare = text.startsWith('...') || (documents.length === 0 && /^%/m.test(text));
  if (isBare) throw new BuiltinError('yaml: an end or a directive without a document');
  for (const [index, { errors, warnings, directives }] of documents.entries()) {
    const problem =
      errors.find(({ message }) => !LENIENT.test(message)) ??
      warnings.find(({ code }) => code !== 'TAG_RESOLVE_FAILED');
    if (problem !== undefined) throw new BuiltinError(`yaml: ${problem.code} at offset ${problem.pos[0]}`);
    if (index > 0 && directives?.docStart !== true) throw new BuiltinError('yaml: a document without a start');
    if (directives?.yaml.explicit === true && directives.yaml.version !== '1.1') {
      throw new BuiltinError('yaml: found incompatible YAML document');
    }
  }
}

/** Go's reader takes no tabs where a block may begin. Throws BuiltinError. */
function requireBlanks(text: string): void {
  if (!text.includes('\t')) return;
  let flow = 0;
  let isStart = true;
  for (const lexeme of new Lexer().lex(text)) {
    if (lexeme === '{' || lexeme === '[') flow++;
    if (lexeme === '}' || lexeme === ']') flow--;
    const isBlank = /^[ \t]+$/.test(lexeme);
    if (isStart && flow === 0 && isBlank && lexeme.includes('\t')) {
      throw new BuiltinError('yaml: found a tab where a token should start');
    }
    isStart =
      lexeme === '\n' ||
      lexeme === '-' ||
      lexeme === '?' ||
      lexeme === '\ufeff' ||
      lexeme === '\x02' ||
      (isBlank && isStart);
  }
}

/** Line breaks to Go's reader. */
const LINE_BREAK = /\r\n?|\x85/g;

const MAX_BRACKETS = 10_000;

/** What the library finds fault with, but Go's reader takes. */
const LENIENT = /^Comments must be separated/;

/** Throws BuiltinError for what is no YAML or has no JSON, HaltError for too much. */
export function readYaml(written: string, checkDeadline: () => void): Value {
  const text = written.toWellFormed().replace(LINE_BREAK, '\n');
  requireBlanks(text);
  // Go's reader stops there, and the library would take its time.
  if (depthOf(text) > MAX_BRACKETS) throw new BuiltinError('yaml: nested too deep');
  const documents = parseDocuments(text);
  checkDeadline();
  requireGood(documents, text);
  const targets = readAliases(documents, text);
  return createDecoder(targets, checkDeadline)(documents[0]?.contents);
}

type Targets = ReadonlyMap<unknown, unknown>;

/** What each alias stands for: the node that had the anchor last. Throws BuiltinError. */
function readAliases(documents: Documents, text: string): Targets {
  const anchors = new Map<string, unknown>();
  const targets = new Map<unknown, unknown>();

  function walk(node: unknown, depth: number): void {
    if (depth > MAX_DEPTH) throw new BuiltinError('yaml: nested too deep');
    if (isAlias(node)) {
      if (!anchors.has(node.source)) throw new BuiltinError('yaml: unknown anchor');
      targets.set(node, anchors.get(node.source));
      return;
    }
    if (!isNode(node)) return;
    if (node.anchor !== undefined) anchors.set(node.anchor, node);
    if (isScalar(node)) checkScalar(node, text);
    else if (isSeq(node)) for (const item of node.items) walk(item, depth + 1);
    else if (isMap(node)) {
      for (const { key, value } of node.items) {
        walk(key, depth + 1);
        walk(value, depth + 1);
      }
    }
  }

  for (const { contents } of documents) walk(contents, 0);
  return targets;
}

const BAD_ESCAPE = /^\\(?:\/|u[dD][89a-fA-F]|U0000[dD][89a-fA-F])/;

/** Scalars that Go reads otherwise than the library. Throws BuiltinError. */
function checkScalar(node: ScalarNode, text: string): void {
  const { type, range, value } = node;
  if (!range) return;
  if (type === 'QUOTE_DOUBLE') {
    for (const [sequence] of text.slice(range[0], range[1]).matchAll(/\\(?:u..|U......|[\s\S])/g)) {
      if (BAD_ESCAPE.test(sequence)) throw new BuiltinError('yaml: an unknown escape');
    }
  } else if (
    type?.startsWith('BLOCK') &&
    range[1] >= text.length &&
    !text.endsWith('\n') &&
    typeof value === 'string'
  ) {
    // The library adds a line feed at the end of the text.
    node.value = value.replace(/\n$/, '');
  }
}

type MapNode = { readonly items: readonly { readonly key: unknown; readonly value: unknown }[] };

function createDecoder(targets: Targets, checkDeadline: () => void): (node: unknown) => Value {
  const open = new Set<unknown>();
  let decoded = 0;
  let aliased = 0;

  function count(): void {
    decoded++;
    if (open.size > 0) aliased++;
    if (!mayExpand(decoded, aliased)) throw new BuiltinError('yaml: document contains excessive aliasing');
    checkMembers(decoded);
    if (decoded % 1_000 === 0) checkDeadline();
  }

  function decode(node: unknown): Value {
    count();
    if (isAlias(node)) {
      if (open.has(node)) throw new BuiltinError('yaml: an anchor contains itself');
      open.add(node);
      const value = decode(targets.get(node));
      open.delete(node);
      return value;
    }
    if (isSeq(node)) return node.items.map(decode);
    if (isMap(node)) {
      const members = new Map<string, Value>();
      mapping(node, members, new Set());
      return new RegoObject(members);
    }
    return isScalar(node) ? scalarValue(scalarOf(node)) : null;
  }

  /** Adds the members whose keys are not in `taken`, then those of merges. */
  function mapping(node: MapNode, members: Map<string, Value>, taken: Set<string>): void {
    const merges: unknown[] = [];
    const own = new Map<string, unknown>();
    for (const { key, value } of uniqueItems(node)) {
      if (isMergeKey(key)) merges.push(...(isSeq(value) ? value.items : [value]));
      else own.set(keyOf(key), value);
    }
    for (const [key, value] of own) {
      if (!taken.has(key)) members.set(key, decode(value));
    }
    for (const key of own.keys()) taken.add(key);
    for (const merge of merges) {
      const source = isAlias(merge) ? targets.get(merge) : merge;
      if (!isMap(source)) throw new BuiltinError('yaml: map merge requires map or sequence of maps as the value');
      if (open.has(merge)) throw new BuiltinError('yaml: an anchor contains itself');
      count();
      open.add(merge);
      mapping(source, members, taken);
      open.delete(merge);
    }
  }

  /** A key as JSON has it. Throws BuiltinError for keys that have no text. */
  function keyOf(node: unknown): string {
    count();
    const key = isAlias(node) ? targets.get(node) : node;
    const text = isScalar(key) ? keyText(scalarOf(key)) : undefined;
    if (text === undefined) throw new BuiltinError('yaml: unsupported map key');
    return text;
  }

  return decode;
}

/** Of keys with one text the last counts, but no two others may be written the same. Throws BuiltinError. */
function uniqueItems({ items }: MapNode): MapNode['items'] {
  const written = new Set<string>();
  const texts = new Set<string>();
  for (const { key } of items) {
    if (isScalar(key) && !isMergeKey(key)) {
      const text = keyText(scalarOf(key));
      if (text !== undefined && texts.has(text)) continue;
      if (text !== undefined) texts.add(text);
    } else if (isMergeKey(key) && written.has('s<<')) continue;
    const name = isAlias(key) ? `a${key.source}` : `s${isScalar(key) ? String(key.value ?? '') : ''}`;
    if (written.has(name)) throw new BuiltinError('yaml: a mapping key is already defined');
    written.add(name);
  }
  return items;
}

const isPlain = ({ type }: ScalarNode): boolean => type === undefined || type === 'PLAIN';

function isMergeKey(key: unknown): boolean {
  if (!isScalar(key) || key.value !== '<<') return false;
  if (key.tag === undefined || key.tag === '!') return isPlain(key);
  return key.tag === `${PREFIX}merge`;
}

/** A scalar's meaning, perhaps as its tag says. Throws BuiltinError when the two do not fit. */
function scalarOf(node: ScalarNode): Scalar {
  const text = String(node.value ?? '');
  const tag = node.tag === undefined || node.tag === '!' ? undefined : node.tag;
  if (tag === undefined) {
    const scalar: Scalar = isPlain(node) ? resolveScalar(text) : { tag: 'str', value: text };
    return scalar.tag === 'timestamp' ? { tag: 'str', value: text } : scalar;
  }
  const name = tag.startsWith(PREFIX) ? tag.slice(PREFIX.length) : '';
  if (name === 'binary') return { tag: 'str', value: decodeBase64(text) };
  if (!['null', 'bool', 'int', 'float', 'timestamp'].includes(name)) return { tag: 'str', value: text };
  const scalar = resolveScalar(text);
  if (scalar.tag === name) return scalar;
  if (name === 'float' && scalar.tag === 'int' && scalar.value < 2n ** 63n) {
    return { tag: 'float', value: Number(scalar.value) };
  }
  throw new BuiltinError(`yaml: cannot decode a scalar as a !!${name}`);
}

function decodeBase64(text: string): string {
  const digits = text.replace(/[\r\n]/g, '');
  if (digits.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(digits)) {
    throw new BuiltinError('yaml: !!binary value contains invalid base64 data');
  }
  return Buffer.from(digits, 'base64').toString('utf8');
}

function scalarValue(scalar: Scalar): Value {
  switch (scalar.tag) {
    case 'int':
      return number(scalar.value);
    case 'float':
      if (!Number.isFinite(scalar.value)) throw new BuiltinError('yaml: a number that JSON does not have');
      return fromDouble(scalar.value);
    case 'timestamp':
      return timestampText(scalar.value);
    default:
      return scalar.value;
  }
}

/** Undefined for what is no key of JSON. */
function keyText(scalar: Scalar): string | undefined {
  switch (scalar.tag) {
    case 'null':
    case 'timestamp':
      return undefined;
    case 'float':
      return floatText(scalar.value, 32);
    default:
      return String(scalar.value);
  }
}
