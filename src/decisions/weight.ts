import type { RequestFacts } from '../model/facts.ts';
import type { DecisionRecord } from '../model/record.ts';

/** What a record weighs beside the texts that others chose, bytes. */
const BASE_WEIGHT = 2048;

/**
 * About how much memory a record keeps, bytes. A bound needs no more than the texts whose length a client chooses; bodies
 * are also there parsed.
 */
export function weighRequest(facts: RequestFacts | undefined): number {
  if (facts === undefined) return BASE_WEIGHT;
  const { message, body, rawBody } = facts;
  // The message is there as bytes and as text.
  return BASE_WEIGHT + (message.text.length + body.length + rawBody.byteLength) * 2;
}

/** The same with what the policy was told by built-ins. */
export function weigh({ facts, observed }: DecisionRecord): number {
  let weight = weighRequest(facts);
  for (const { chars } of observed) weight += chars;
  return weight;
}
