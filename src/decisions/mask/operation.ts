import type { Json } from '../../model/json.ts';
import { isObject } from '../../values/json.ts';

/** The parts of an event that rules may change. */
export const maskedParts = ['input', 'result', 'nd_builtin_cache'] as const;
export type MaskedPart = (typeof maskedParts)[number];

/** One rule of a mask decision (https://www.openpolicyagent.org/docs/management-decision-logs#masking-sensitive-data). */
export type Operation = {
  readonly op: 'remove' | 'upsert';
  readonly part: MaskedPart;
  /** Where below the part, spelled as in the rule; empty: all of it. */
  readonly path: readonly string[];
  /** Of an upsert. */
  readonly value: Json;
};

/** Leaves nothing that a rule could have been about. */
export const removeAll: readonly Operation[] = maskedParts.map((part) => ({
  op: 'remove',
  part,
  path: [],
  value: null,
}));

const MAX_OPERATIONS = 1000;
/** What Go's url.PathUnescape does not take. */
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;

/** A mask decision's result; undefined when anything about it is odd, as OPA then follows none of its rules. */
export function readOperations(result: Json): readonly Operation[] | undefined {
  if (!Array.isArray(result) || result.length > MAX_OPERATIONS) return undefined;
  const operations: Operation[] = [];
  for (const rule of result as readonly Json[]) {
    const operation = typeof rule === 'string' ? operationAt(rule, 'remove', null) : readRule(rule);
    if (operation === undefined) return undefined;
    operations.push(operation);
  }
  return operations;
}

function readRule(rule: Json): Operation | undefined {
  if (!isObject(rule)) return undefined;
  const { op, path, value = null } = rule;
  if ((op !== 'remove' && op !== 'upsert') || typeof path !== 'string') return undefined;
  return operationAt(path, op, value);
}

function operationAt(pointer: string, op: Operation['op'], value: Json): Operation | undefined {
  const [start, first, ...path] = pointer.split('/');
  const part = maskedParts.find((name) => name === first);
  if (start !== '' || part === undefined || path.some((segment) => BAD_ESCAPE.test(segment))) return undefined;
  return { op, part, path, value };
}

/** As Go's url.PathEscape does it, and therefore OPA. */
export const escapeSegment = (segment: string): string =>
  encodeURIComponent(segment.toWellFormed()).replace(/[!'()*]|%(?:24|26|2B|3A|3D|40)/g, (found) =>
    found.length === 1 ? `%${found.charCodeAt(0).toString(16).toUpperCase()}` : decodeURIComponent(found),
  );

/**
 * The keys that a rule's segment may mean, OPA's reading first: it looks for the escaped one only, and so cannot reach
 * `filter[name]`, nor a key with a slash. A mask that finds nothing leaves out what it should hide.
 */
export function keysOf(segment: string): readonly string[] {
  const escaped = escapeSegment(segment);
  if (escaped === segment) return [segment];
  return [escaped, segment, ...(segment.includes('%') ? [unescaped(segment)] : [])];
}

function unescaped(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
