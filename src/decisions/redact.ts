import type { Observation } from '../model/evaluation.ts';
import { type InputText, textOf } from '../model/input-text.ts';
import type { Json, JsonObject } from '../model/json.ts';
import { emptyObject, isObject, parseExact, stringify } from '../values/json.ts';
import { builtinCache } from './builtin-cache.ts';
import { createKnownSecrets, type KnownSecrets, unasked } from './known-secrets.ts';
import { follow, type Parts } from './mask/follow.ts';
import { escapeSegment, type MaskedPart, type Operation } from './mask/operation.ts';
import { redactInput } from './redact-input.ts';
import { segment } from './redact-text.ts';
import { type Region, regions } from './regions.ts';
import { MAX_TEXT, REDACTED, scrub, TRUNCATED } from './scrub.ts';

const MAX_DEPTH = 64;
const MAX_VALUES = 5000;
const MAX_TOTAL_TEXT = 262_144;
const MAX_KEY = 512;
const MAX_DIGITS = 1024;
const MAX_POINTERS = 1000;
const MAX_POINTER_TEXT = 65_536;
const MAX_REASONS = 100;

export type Redactable = {
  /** The input: as a tree, or else as text. */
  readonly input: Json | undefined;
  readonly text?: InputText | undefined;
  readonly result: Json | undefined;
  readonly observed?: readonly Observation[];
  readonly reasons: readonly string[];
  readonly cause: string | undefined;
};

/** Copies without secrets. `masked` and `erased` hold JSON pointers (RFC 6901) as OPA's decision log has them. */
export type Redacted = Omit<Redactable, 'observed' | 'text'> & {
  /** The input, where it could be redacted in its text; `input` is undefined then. */
  readonly text: string | undefined;
  /** By built-in and by its arguments as JSON text, as OPA's `nd_builtin_cache` has it. */
  readonly observed: Json | undefined;
  /** Where a value (or the key itself) was replaced, wholly or in part. */
  readonly masked: readonly string[];
  /** Objects and lists that lost entries because the document is too large. */
  readonly erased: readonly string[];
};

/** One pass over what belongs to one decision, and what is left of its bounds. */
type Pass = {
  readonly plain: Region;
  secrets: readonly string[];
  readonly known: KnownSecrets;
  readonly masked: string[];
  readonly erased: string[];
  values: number;
  text: number;
  pointerText: number;
  /** What became of keys in the copies of their objects. */
  renamed: Map<JsonObject, Map<string, string>> | undefined;
};

/**
 * Redacted copies of what a decision consists of; the originals stay as they are. Always masked: sensitive headers,
 * query parameters and body keys, raw bodies, whatever looks like a JWT; in the policy's words also every secret of
 * this request that it repeats. Bounded in depth, count and text. `operations` are what the policy's mask rules want beside
 * that; they can add nothing that would not have been masked.
 */
export function redact(
  parts: Redactable,
  mode: 'full' | 'masked' | 'off' = 'masked',
  operations: readonly Operation[] = [],
): Redacted {
  const observations = parts.observed ?? [];
  const speaks =
    operations.length > 0 ||
    observations.length > 0 ||
    parts.reasons.length > 0 ||
    parts.cause !== undefined ||
    (parts.result !== undefined && typeof parts.result !== 'boolean');
  const pass: Pass = {
    plain: regions[mode === 'full' ? 'full' : 'masked'],
    secrets: [],
    // Most policies answer with a boolean, and then nobody asks.
    known: speaks ? createKnownSecrets() : unasked,
    masked: [],
    erased: [],
    values: 0,
    text: 0,
    pointerText: MAX_POINTER_TEXT,
    renamed: undefined,
  };
  // Without the input nobody sees what is masked in it, but the policy may repeat it.
  const isUnseen = mode === 'off' && !speaks;
  const text = isUnseen || parts.text === undefined ? undefined : redactedText(parts.text, speaks, pass);
  const input = isUnseen || text !== undefined ? undefined : copyPart(treeOf(parts), '/input', pass);
  if (mode === 'off') pass.masked.length = pass.erased.length = 0;
  // Only the policy's words are searched for the request's secrets: a client must not be able to blank out its own
  // path or address by sending the same text as a token.
  if (speaks) pass.secrets = pass.known.spellings();
  const contents: Contents = {
    input: mode === 'off' ? undefined : input,
    text: mode === 'off' ? undefined : text,
    result: copyPart(parts.result, '/result', pass),
    observed: copyObserved(observations, pass),
  };
  const left = operations.length === 0 ? contents : leftBy(operations, contents, pass);
  refill(pass);
  const reasons = parts.reasons
    .slice(0, MAX_REASONS)
    .map((reason, i) => copyText(reason, pass.plain, `/custom/reasons/${i}`, pass));
  const cause = parts.cause === undefined ? undefined : scrub(parts.cause, pass.secrets);
  return { ...left, reasons, cause, masked: unique(pass.masked), erased: unique(pass.erased) };
}

const unique = (list: readonly string[]): readonly string[] => (list.length < 2 ? list : [...new Set(list)]);

type Contents = Pick<Redacted, 'input' | 'text' | 'result' | 'observed'>;

/** What mask rules leave of copies that are redacted. */
function leftBy(operations: readonly Operation[], { input, text, result, observed }: Contents, pass: Pass): Contents {
  const isAbout = (part: MaskedPart, op?: Operation['op']): boolean =>
    operations.some((operation) => operation.part === part && (op === undefined || operation.op === op));
  const changesInput = isAbout('input');
  const parts: Parts = {
    // The keys in the text are all as they were.
    input: changesInput && text !== undefined ? parseExact(text) : input,
    result,
    nd_builtin_cache: observed,
  };
  const { secrets } = pass;
  refill(pass);
  follow(parts, operations, {
    nameIn: (object, key) => pass.renamed?.get(object)?.get(key) ?? key,
    spell: (segment) => {
      const clean = scrub(segment, secrets);
      return clean === segment ? escapeSegment(segment) : clean;
    },
    clean: (value, pointer) => copy(value, pass.plain, pointer, 0, pass),
    onErased: (pointer) => note(pass.erased, pointer, pass),
    onMasked: (pointer) => note(pass.masked, pointer, pass),
  });
  // What a rule has written is read once more by where it stands now.
  const again = (part: MaskedPart): Json | undefined =>
    isAbout(part, 'upsert') ? copyPart(parts[part], `/${part}`, pass) : parts[part];
  const words = { result: again('result'), observed: again('nd_builtin_cache') };
  pass.secrets = [];
  const left = { ...words, input: again('input'), text: changesInput ? undefined : text };
  pass.secrets = secrets;
  return left;
}

/** Each part has the bounds for itself: a large input must not cost the policy's words. */
function refill(pass: Pass): void {
  pass.values = MAX_VALUES;
  pass.text = MAX_TOTAL_TEXT;
}

function copyPart(part: Json | undefined, pointer: string, pass: Pass): Json | undefined {
  refill(pass);
  return part === undefined ? undefined : copy(part, pass.plain, pointer, 0, pass);
}

const treeOf = ({ input, text }: Redactable): Json | undefined =>
  text === undefined ? input : parseExact(textOf(text));

function redactedText(text: InputText, speaks: boolean, pass: Pass): string | undefined {
  const redacted = redactInput(text, pass.plain);
  if (redacted === undefined) return undefined;
  for (const pointer of redacted.masked) note(pass.masked, pointer, pass);
  if (speaks) for (const { key, text: value } of redacted.hidden) learnHidden(key, parseExact(value), pass);
  return redacted.text;
}

function copyObserved(observed: readonly Observation[], pass: Pass): JsonObject | undefined {
  return builtinCache(
    observed.map(({ builtin, args, answer }) => {
      const pointer = `/nd_builtin_cache/${segment(builtin)}`;
      const copied = (part: Json): Json => copyPart(part, pointer, pass) ?? null;
      // The arguments are a key there, and a pointer to it would repeat them.
      return { builtin, args: copied(args), answer: copied(answer) };
    }),
  );
}

function copy(value: Json, region: Region, pointer: string, depth: number, pass: Pass): Json {
  if (typeof value === 'string') return copyText(value, region, pointer, pass);
  if (value === null || typeof value !== 'object') return value;
  if (isObject(value)) {
    return depth < MAX_DEPTH ? copyObject(value, region, pointer, depth, pass) : truncated(pointer, pass);
  }
  if (Array.isArray(value)) {
    return depth < MAX_DEPTH ? copyList(value, region, pointer, depth, pass) : truncated(pointer, pass);
  }
  const digits = stringify(value).length;
  pass.text -= digits;
  return digits > MAX_DIGITS || pass.text < 0 ? truncated(pointer, pass) : value;
}

function copyText(text: string, region: Region, pointer: string, pass: Pass): string {
  pass.text -= Math.min(text.length, MAX_TEXT);
  if (pass.text < 0) return truncated(pointer, pass);
  const clean = region.scrub(text, pass.secrets);
  if (clean !== text) note(pass.masked, pointer, pass);
  return clean;
}

function copyList(list: readonly Json[], region: Region, pointer: string, depth: number, pass: Pass): Json {
  const items: Json[] = [];
  for (let i = 0; i < list.length; i++) {
    if (pass.values-- <= 0) {
      note(pass.erased, pointer, pass);
      break;
    }
    items.push(copy(list[i] as Json, region, `${pointer}/${i}`, depth + 1, pass));
  }
  return items;
}

function copyObject(from: JsonObject, region: Region, pointer: string, depth: number, pass: Pass): Json {
  const to = emptyObject();
  const pair = pairName(from);
  const hasSecretPair = pair !== undefined && region.isSecret(String(from[pair]));
  for (const key of Object.keys(from)) {
    if (pass.values-- <= 0) {
      note(pass.erased, pointer, pass);
      break;
    }
    const value = from[key] as Json;
    const name = copyKey(key, to, pass);
    const at = `${pointer}/${segment(name)}`;
    if (name !== key) {
      note(pass.masked, at, pass);
      remember(key, name, to, pass);
    }
    const isSecret = hasSecretPair && (key === 'value' || key === 'rawValue');
    if (isSecret || (key !== pair && region.isSecret(key) && !isCount(key, value)))
      to[name] = hide(key, value, at, pass);
    else to[name] = copy(value, region.below(key), at, depth + 1, pass);
  }
  return to;
}

/** The field that names an object such as `{key: "password", value: "…"}`; in such an object it is no secret itself. */
function pairName(from: JsonObject): string | undefined {
  if (from['value'] === undefined && from['rawValue'] === undefined) return undefined;
  if (typeof from['key'] === 'string') return 'key';
  return typeof from['name'] === 'string' ? 'name' : undefined;
}

/** `max_tokens: 100` of a language model's API is a number of tokens, not a token. */
const isCount = (name: string, value: Json): boolean => isNumber(value) && /tokens$/i.test(name);
const isNumber = (value: Json): boolean =>
  typeof value === 'number' ||
  (typeof value === 'object' && value !== null && !Array.isArray(value) && !isObject(value));

function copyKey(key: string, to: JsonObject, pass: Pass): string {
  pass.text -= key.length;
  const name = key.length > MAX_KEY || pass.text < 0 ? TRUNCATED : scrub(key, pass.secrets);
  // Two keys may become equal; neither entry may be lost.
  return name !== key && to[name] !== undefined ? `${name} ${pass.values}` : name;
}

function remember(key: string, name: string, copied: JsonObject, pass: Pass): void {
  pass.renamed ??= new Map();
  const { renamed } = pass;
  const names = renamed.get(copied) ?? new Map<string, string>();
  renamed.set(copied, names.set(key, name));
}

function hide(key: string, value: Json, pointer: string, pass: Pass): Json {
  if (value === null || typeof value === 'boolean') return value;
  learnHidden(key, value, pass);
  note(pass.masked, pointer, pass);
  // A list stays a list for those who read parsed_query or a form.
  return Array.isArray(value) ? [REDACTED] : REDACTED;
}

function learnHidden(key: string, value: Json, { known }: Pass): void {
  if (key === 'body' && typeof value === 'string') known.learnWhole(value);
  else if (key === 'rawBody' && typeof value === 'string') known.learnWhole(decoded(value));
  else if (key === 'rawValue' && typeof value === 'string') known.learn(decoded(value));
  else learn(value, 0, known);
}

const decoded = (base64: string): string =>
  base64.length > 2 * MAX_TEXT ? '' : Buffer.from(base64, 'base64').toString();

const MAX_LEARNED_DEPTH = 4;
const MAX_LEARNED_ENTRIES = 32;

function learn(value: Json, depth: number, known: KnownSecrets): void {
  if (typeof value === 'string') known.learn(value);
  else if (depth < MAX_LEARNED_DEPTH && typeof value === 'object' && value !== null) {
    const items = Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
    for (const item of items.slice(0, MAX_LEARNED_ENTRIES)) learn(item, depth + 1, known);
  }
}

function truncated(pointer: string, pass: Pass): string {
  note(pass.masked, pointer, pass);
  return TRUNCATED;
}

function note(list: string[], pointer: string, pass: Pass): void {
  pass.pointerText -= pointer.length;
  if (pass.pointerText >= 0 && list.length < MAX_POINTERS && list.at(-1) !== pointer) list.push(pointer);
}
