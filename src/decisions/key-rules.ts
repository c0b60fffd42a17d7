import type { Region } from './regions.ts';
import { scrub, scrubTarget } from './scrub.ts';

/* What keys mean for redaction, by where they stand, remembered from document to document. */

const MAX_KEY = 256;
const MAX_REMEMBERED = 10_000;

/** What a key means where it stands, and what is known of the keys below it. */
export type Rule = {
  readonly key: string;
  /** With the quote behind it. */
  readonly quoted: string;
  readonly isOdd: boolean;
  readonly isSecret: boolean;
  readonly isCount: boolean;
  /** Of the value. */
  readonly region: Region;
  /** Whether texts can be told from their characters to hold no secret. */
  readonly isTextual: boolean;
  readonly below: Map<string, Rule>;
  /** Below, and beside: what came the last time, as most requests have the same keys in the same order. */
  first: Rule | undefined;
  next: Rule | undefined;
};

const roots = new Map<Region, Rule>();
let remembered = 0;

/** Of a whole document. Keys are the client's: what is known of them is forgotten before it is too much. */
export function rootOf(region: Region): Rule {
  if (remembered > MAX_REMEMBERED) {
    roots.clear();
    remembered = 0;
  }
  let root = roots.get(region);
  if (root === undefined) {
    root = createRule('', false, region);
    roots.set(region, root);
  }
  return root;
}

function createRule(key: string, isSecret: boolean, region: Region): Rule {
  remembered++;
  return {
    key,
    quoted: `${key}"`,
    isOdd: key === 'value' || key === 'rawValue' || key.includes('\\') || scrub(key) !== key,
    isSecret,
    isCount: /tokens$/i.test(key),
    region,
    // The others read texts in their own way.
    isTextual: region.scrub === scrub || region.scrub === scrubTarget,
    below: new Map(),
    first: undefined,
    next: undefined,
  };
}

/** Undefined: the key is too long to be remembered. */
export function ruleBelow({ region, below }: Rule, part: string): Rule | undefined {
  const known = below.get(part);
  if (known !== undefined) return known;
  if (part.length > MAX_KEY) return undefined;
  // A copy: a part of a text keeps all of it in memory.
  const key = ` ${part}`.slice(1);
  const rule = createRule(key, region.isSecret(key), region.below(key));
  below.set(key, rule);
  return rule;
}
