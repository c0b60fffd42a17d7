import { messageOf } from '../lib/message.ts';
import type { Found, Jwks, JwksOptions } from './jwks.ts';
import { type KeySet, parseKeySet } from './key-set.ts';

/** Keys as the process that fetches them has them; `text` is null when it has none, `ageMs` counts from their fetch. */
export type KeyState = { readonly text: string | null; readonly ageMs: number; readonly error: string | null };

/** The process that fetches keys for others. */
export type KeyHolder = {
  readonly stateOf: (name: string) => Promise<KeyState>;
  /** As `Jwks.lookFor` there; what it found is told through `onChange` before this resolves. */
  readonly lookFor: (name: string, kid: string | undefined, alg: string) => Promise<Found>;
  readonly onChange: (name: string, changed: (state: KeyState) => void) => void;
};

type SharedOptions = Pick<JwksOptions, 'parse' | 'maxStaleMs' | 'clock' | 'onFetched' | 'onChanged'>;

/** Tokens with unknown keys must not make two processes talk without end. */
const MAX_LOOKING = 1_000;

/** One issuer's keys, which another process looks after. */
export function createSharedJwks(name: string, options: SharedOptions, holder: KeyHolder): Jwks {
  const { parse = parseKeySet, maxStaleMs, clock, onFetched, onChanged } = options;
  let keys: KeySet | undefined;
  let fetchedAt = 0;
  let error: string | null = 'the keys are not known yet';
  let looking = 0;

  function take(state: KeyState): void {
    const before = keys?.fingerprint;
    try {
      if (state.text !== (before ?? null)) keys = state.text === null ? undefined : parse(state.text);
      fetchedAt = clock.monotonicMs() - state.ageMs;
      error = state.error;
    } catch (thrown) {
      error = messageOf(thrown);
    }
    if (before !== undefined && keys?.fingerprint !== before) onChanged();
    onFetched(error === null, error ?? undefined);
  }

  async function lookFor(kid: string | undefined, alg: string): Promise<Found> {
    if (looking >= MAX_LOOKING) return 'unknown';
    looking++;
    try {
      return await holder.lookFor(name, kid, alg);
    } catch {
      return 'unknown';
    } finally {
      looking--;
    }
  }

  const pull = async (): Promise<void> => take(await holder.stateOf(name));
  const ageMs = (): number => clock.monotonicMs() - fetchedAt;
  holder.onChange(name, take);
  return {
    current: () => (keys !== undefined && ageMs() <= maxStaleMs ? keys : undefined),
    lookFor,
    refresh: pull,
    start: pull,
    stop: () => {},
    state: () => ({ text: keys?.fingerprint ?? null, ageMs: ageMs(), error }),
    status: () => ({
      keys: keys?.keys.length ?? 0,
      age_seconds: keys === undefined ? null : Math.round(ageMs() / 1000),
      error,
    }),
  };
}
