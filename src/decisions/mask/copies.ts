import { keysOf, type Operation } from './operation.ts';

/*
 * What an event repeats under `custom`, and where it has it from: a rule that hides the one hides the other.
 */

const http = ['input', 'attributes', 'request', 'http'] as const;
const sources = {
  reasons: [
    ['result', 'reason'],
    ['result', 'reasons'],
  ],
  subject: [
    ['input', 'identity', 'subject'],
    ['input', 'identity', 'claims', 'sub'],
  ],
  issuer: [
    ['input', 'identity', 'issuer'],
    ['input', 'identity', 'claims', 'iss'],
  ],
  tenant: [['input', 'identity', 'claims', 'tenant']],
  spiffe_id: [['input', 'identity', 'workload', 'spiffe_id']],
  method: [[...http, 'method']],
  host: [[...http, 'host']],
  path: [
    [...http, 'path'],
    ['input', 'parsed_path'],
  ],
  client_ip: [
    ['input', 'attributes', 'source', 'address', 'socketAddress', 'address'],
    ['input', 'context', 'client_ip'],
  ],
} as const satisfies { readonly [name: string]: readonly (readonly string[])[] };

export type Copy = keyof typeof sources;

/** Whether a rule is about what `copy` repeats, or a part of it, or all around it. */
export const isHidden = (copy: Copy, operations: readonly Operation[]): boolean =>
  operations.length > 0 &&
  sources[copy].some((source) => operations.some(({ part, path }) => overlap(source, [part, ...path])));

const overlap = (source: readonly string[], path: readonly string[]): boolean =>
  source.every((key, i) => {
    const segment = path[i];
    return segment === undefined || segment === key || (segment.includes('%') && keysOf(segment).includes(key));
  });
