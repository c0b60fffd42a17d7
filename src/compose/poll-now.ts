import type { Polled } from '../api/ports.ts';
import { type BundleStatus, reported } from '../bundles/bundle-status.ts';
import type { PolicySource } from './policy-source.ts';

/** Connections that are silent for longer are closed, ms. */
const PATIENCE_MS = 20_000;

/** Looks for bundles, all or one, and tells what came of it; one that is not polled is not in it. */
export function createPollNow(
  source: Pick<PolicySource, 'poke' | 'status' | 'polled'>,
  onLooked: () => void,
): (name?: string) => Promise<Polled> {
  return async (name) => {
    const names = source.polled().filter((each) => name === undefined || each === name);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), PATIENCE_MS);
    });
    const isLate = (await Promise.race([Promise.all(names.map(source.poke)), late])) === 'late';
    clearTimeout(timer);
    onLooked();
    const statuses = source.status();
    const found = names.flatMap((each) => (statuses[each] === undefined ? [] : [statuses[each]]));
    return {
      bundles: Object.fromEntries(found.map((status) => [status.name, reported(status)])),
      ...(isLate ? { failure: 'pending', message: 'the look takes long, and goes on' } : failureAmong(found)),
    };
  };
}

function failureAmong(statuses: readonly BundleStatus[]): Pick<Polled, 'failure' | 'message'> {
  const failed = statuses.filter(({ code }) => code !== undefined);
  const missing = failed.find((status) => !hasCome(status));
  const worst = missing ?? failed[0];
  if (worst === undefined) return { failure: undefined, message: '' };
  const { name, message = '' } = worst;
  return { failure: missing === undefined ? 'refused' : 'unavailable', message: `${name}: ${message}` };
}

const hasCome = ({ last_request: asked = '', last_successful_request: came = '' }: BundleStatus): boolean =>
  came >= asked;
