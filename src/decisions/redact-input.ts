import { MARK, type Place, type StringMap } from '../model/facts.ts';
import { type IdentityText, type InputText, joined } from '../model/input-text.ts';
import { type Rule, rootOf, ruleBelow } from './key-rules.ts';
import { type RedactedText, redactText, segment } from './redact-text.ts';
import type { Region } from './regions.ts';
import { MAX_TEXT, REDACTED } from './scrub.ts';

/*
 * The same as redacting the text of an input, where more is known of it: where the strings of the message are, and which
 * of them cannot hold a secret; and what became of a caller's identity the last time.
 */

const ROOT = '/input';
const nothing: RedactedText = { text: '', masked: [], hidden: [] };

/** Undefined when the text is unusual. */
export function redactInput({ message, derived, identity }: InputText, region: Region): RedactedText | undefined {
  const request =
    message.strings === undefined
      ? redactText(message.text, region, ROOT)
      : redactStrings(message.text, message.strings, region);
  const members = derived === '' ? nothing : redactText(`{${derived.slice(1)}}`, region, ROOT);
  const caller = identity === undefined ? nothing : redactIdentity(identity, region);
  if (request === undefined || members === undefined || caller === undefined) return undefined;
  return {
    text: joined(request.text, members.text === '' ? '' : `,${members.text.slice(1, -1)}`, identity && caller.text),
    masked: joinedLists(request.masked, members.masked, caller.masked),
    hidden: joinedLists(request.hidden, members.hidden, caller.hidden),
  };
}

/** Mostly there is something in the first one only. */
const joinedLists = <T>(first: readonly T[], ...more: readonly (readonly T[])[]): readonly T[] =>
  more.every(({ length }) => length === 0) ? first : first.concat(...more);

const BEFORE_IDENTITY = '{"identity":';

function redactIdentity(identity: IdentityText, region: Region): RedactedText | undefined {
  const known = identity.redacted as { readonly region: Region; readonly redacted: RedactedText } | undefined;
  if (known?.region === region) return known.redacted;
  const whole = redactText(`${BEFORE_IDENTITY}${identity.text}}`, region, ROOT);
  if (whole === undefined) return undefined;
  const redacted = { ...whole, text: whole.text.slice(BEFORE_IDENTITY.length, -1) };
  identity.redacted = { region, redacted };
  return redacted;
}

function redactStrings(text: string, { places, spans }: StringMap, region: Region): RedactedText | undefined {
  const masked: string[] = [];
  const hidden: { key: string; text: string }[] = [];
  let out = '';
  let copied = 0;
  for (let i = 0, at = 0; i < places.length; i++) {
    const rule = ruleOf(places[i] as Place, region);
    const from = spans[at++] as number;
    const to = spans[at++] as number;
    const isSuspect = spans[at++] !== MARK.plain;
    if (rule === undefined || to - from > MAX_TEXT) return undefined;
    if (!rule.isSecret && rule.isTextual && !isSuspect) continue;
    const quoted = text.slice(from, to);
    let clean = `"${REDACTED}"`;
    if (rule.isSecret) hidden.push({ key: rule.key, text: quoted });
    else {
      const value = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
      const scrubbed = rule.scrub(value, []);
      if (scrubbed === value) continue;
      clean = JSON.stringify(scrubbed);
    }
    masked.push(rule.pointer);
    out += text.slice(copied, from) + clean;
    copied = to;
  }
  return { text: out + text.slice(copied), masked, hidden };
}

/** What becomes of strings that stand in one place. */
type PlaceRule = Pick<Rule, 'key' | 'isSecret' | 'isTextual'> & {
  readonly scrub: Region['scrub'];
  readonly pointer: string;
};

/** Undefined where the string is only a part of what has to be looked at. */
function ruleOf(place: Place, region: Region): PlaceRule | undefined {
  const known = place.rule as { readonly region: Region; readonly rule: PlaceRule | undefined } | undefined;
  if (known?.region === region) return known.rule;
  const rule = findRule(place, region);
  place.rule = { region, rule };
  return rule;
}

function findRule({ path }: Place, region: Region): PlaceRule | undefined {
  let rule: Rule | undefined = rootOf(region);
  for (const name of path) {
    rule = rule.isSecret ? undefined : ruleBelow(rule, name);
    if (rule === undefined || rule.isOdd) return undefined;
  }
  const { key, isSecret, isTextual } = rule;
  const pointer = `${ROOT}/${path.map(segment).join('/')}`;
  return { key, isSecret, isTextual, scrub: rule.region.scrub, pointer };
}
