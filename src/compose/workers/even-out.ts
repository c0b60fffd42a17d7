import type { Clock } from '../../lib/clock.ts';
import type { Member } from './member.ts';

/** The one that was sent away has to be back, elsewhere, and counted before the next one is, ms. */
const EVERY_MS = 3_000;
/** Of two workers, the one with one connection more is not better off for passing it on. */
const UNEVEN = 2;

/**
 * Looks at workers again and again, and has connections of the one that has most opened anew, one at a time, until all
 * have as many. Where a new one goes is not known before; in the ring of workers it is another one's turn each time.
 */
export function createEvenOut(clock: Clock): (members: Iterable<Pick<Member, 'connections' | 'call'>>) => void {
  let lastMs = Number.NEGATIVE_INFINITY;
  return (members) => {
    if (clock.monotonicMs() - lastMs < EVERY_MS) return;
    const ordered = [...members].sort((a, b) => a.connections() - b.connections());
    const [least, most] = [ordered[0], ordered.at(-1)];
    if (least === undefined || most === undefined || most.connections() - least.connections() < UNEVEN) return;
    lastMs = clock.monotonicMs();
    // Whoever does not hear it is about to be ended.
    most.call('sendOneAway', undefined).catch(() => {});
  };
}
