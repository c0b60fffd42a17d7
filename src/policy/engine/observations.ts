import type { Observation } from '../../model/evaluation.ts';
import type { Json } from '../../model/json.ts';
import { toJson } from '../../values/convert.ts';
import { parse } from '../../values/parse.ts';

/*
 * What a policy was told that another evaluation of the same input might not be (OPA's `nondeterministic` built-ins). Not
 * kept: what follows from the arguments and the clock, and what would repeat keys or the environment (`io.jwt.encode_sign`,
 * `io.jwt.decode_verify`, `opa.runtime`).
 */

const observed: ReadonlySet<string> = new Set([
  'http.send',
  'net.lookup_ip_addr',
  'rand.intn',
  'time.now_ns',
  'uuid.rfc4122',
]);

const MAX_OBSERVATIONS = 1_000;
const MAX_CHARS = 262_144;

export type Observations = {
  /** Forgets what the last evaluation observed. */
  readonly begin: () => void;
  /** Notes a call; arguments and answer are term text. */
  readonly note: (builtin: string, args: readonly string[], answer: string) => void;
  /** Undefined: nothing. */
  readonly all: () => readonly Observation[] | undefined;
};

/** Costs nothing as long as no such built-in is called. */
export function createObservations(): Observations {
  let calls: Map<string, Observation> | undefined;
  let chars = 0;
  return {
    begin: () => {
      calls = undefined;
      chars = 0;
    },
    note: (builtin, args, answer) => {
      if (!observed.has(builtin)) return;
      calls ??= new Map();
      const key = `${builtin} ${args.join(' ')}`;
      const own = key.length + answer.length;
      if (calls.has(key) || calls.size >= MAX_OBSERVATIONS || chars + own > MAX_CHARS) return;
      chars += own;
      calls.set(key, { builtin, args: args.map(toDocument), answer: toDocument(answer), chars: own });
    },
    all: () => (calls === undefined ? undefined : [...calls.values()]),
  };
}

const toDocument = (text: string): Json => toJson(parse(text));
