import type { Identity } from '../model/identity.ts';
import type { IdentityText } from '../model/input-text.ts';
import type { Json } from '../model/json.ts';
import type { Reads } from '../model/reads.ts';
import { stringify } from '../values/json.ts';
import { pruned } from '../values/request-message.ts';

type Texts = { readonly whole: IdentityText; readonly reads: Reads; readonly read: string };

/* Identities of verified tokens are remembered, and come again with every request of their caller; so are their texts. */
const texts = new WeakMap<Identity, Texts>();

/** An identity as JSON text: the whole of it, and what is read of it. */
export function identityText(identity: Identity, reads: Reads): Texts {
  const known = texts.get(identity);
  if (known?.reads === reads) return known;
  const whole = known?.whole ?? { text: stringify(identity as unknown as Json), redacted: undefined };
  const read = reads === true ? whole.text : stringify(pruned(identity as unknown as Json, reads));
  const made = { whole, reads, read };
  texts.set(identity, made);
  return made;
}
