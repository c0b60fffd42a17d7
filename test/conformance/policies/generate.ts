import { decisionKinds } from './decisions.ts';
import { jsonText, type Kind, type Kinds } from './kind.ts';
import { languageKinds } from './language.ts';
import { numberAndTextKinds } from './numbers-and-texts.ts';
import { createRandom, type Random } from './random.ts';
import { requestKinds } from './requests.ts';
import { roleKinds } from './roles.ts';
import { tokenAndTimeKinds } from './tokens-and-time.ts';
import { valueKinds } from './values.ts';

/** A policy in package `p.<name>` with its data at `data.d.<name>` and the inputs it is asked with, as JSON text. */
export type Generated = {
  readonly name: string;
  /** The whole package: itself, or a rule whose value it is. */
  readonly entrypoint: string;
  /** One or two modules. */
  readonly modules: readonly string[];
  /** JSON text. */
  readonly data: string;
  readonly inputs: readonly string[];
};

const kinds: Kinds = {
  ...roleKinds,
  ...requestKinds,
  ...tokenAndTimeKinds,
  ...numberAndTextKinds,
  ...valueKinds,
  ...languageKinds,
  ...decisionKinds,
};

/** Values that no author had in mind for the place where they come. */
const ODD = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  '#9007199254740993',
  '',
  'x',
  '\u0000é"\\',
  '__proto__',
  [],
  [null],
  ['ann', ['bob']],
  {},
  { constructor: 1, '': 'ann' },
] as const;

/** `variants` policies of each kind; the same ones for the same seed. */
export function generate(seed: number, variants: number): Generated[] {
  return Object.entries(kinds).flatMap(([kind, make], index) =>
    Array.from({ length: variants }, (_, variant) =>
      policyOf(`${kind}_${variant}`, make, createRandom(seed + index * 1000 + variant)),
    ),
  );
}

function policyOf(name: string, make: Kind, random: Random): Generated {
  const draft = make(random);
  const rules = draft.rego.replaceAll(/\bD\b/g, `data.d.${name}`).replaceAll(/\bNAME\b/g, name);
  const wrapped = draft.wrapped === true || random.chance(30);
  const odd = draft.inputs.flatMap((input) => [
    changed(input, random, () => undefined),
    changed(input, random, () => random.pick(ODD)),
    changed(
      changed(input, random, () => random.pick(ODD)),
      random,
      () => random.pick(ODD),
    ),
  ]);
  return {
    name,
    entrypoint: wrapped ? `q/${name}/whole` : `p/${name}`,
    modules: [`package p.${name}\n${rules}\n`, ...(wrapped ? [`package q.${name}\n\nwhole := data.p.${name}\n`] : [])],
    data: jsonText(draft.data ?? {}),
    // OPA's REST API takes null for no input.
    inputs: [...new Set([...draft.inputs, ...odd, random.pick(ODD)].map(jsonText))].filter((text) => text !== 'null'),
  };
}

/** The document with one place changed; undefined takes the place away. */
function changed(document: unknown, random: Random, value: () => unknown): unknown {
  if (Array.isArray(document)) {
    if (document.length === 0) return [value() ?? null];
    const at = random.int(document.length);
    const next = random.chance(60) ? changed(document[at], random, value) : value();
    return next === undefined ? document.toSpliced(at, 1) : document.with(at, next);
  }
  if (typeof document !== 'object' || document === null) return value();
  const keys = Object.keys(document);
  if (keys.length === 0) return { [random.pick(['user', 'x', '__proto__'])]: value() };
  const key = random.pick(keys);
  const { [key]: old, ...rest } = document as { readonly [key: string]: unknown };
  return { ...rest, [key]: random.chance(60) ? changed(old, random, value) : value() };
}
