import { createOneByOne } from './one-by-one.ts';

/** How long files must stay as they are before they are taken: those who write several do not write them at once. */
const SETTLE_MS = 1000;
/** Timers that are to wait longer do not wait at all. */
const LONGEST_DELAY_MS = 2_147_483_647;

export type Looks = {
  /** Begins to look regularly. */
  readonly start: () => void;
  /** Looks now, and takes what it finds as it is. */
  readonly now: () => Promise<unknown>;
  readonly stop: () => void;
};

/**
 * Looks at files every so often (ms), one look after another, regular ones and those asked for: what a slow one finds
 * must not undo a later one. A look that tells that they have just changed is soon followed by another.
 */
export function createLooks(look: (settled: boolean) => Promise<boolean>, everyMs: number): Looks {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const inTurn = createOneByOne();
  const lookInTurn = (settled: boolean): Promise<boolean> => inTurn(async () => (stopped ? false : look(settled)));
  const schedule = (delayMs: number): void => {
    if (stopped) return;
    timer = setTimeout(
      () => {
        lookInTurn(false).then(
          (unsettled) => schedule(unsettled ? Math.min(SETTLE_MS, everyMs) : everyMs),
          () => schedule(everyMs),
        );
      },
      Math.min(delayMs, LONGEST_DELAY_MS),
    );
    timer.unref();
  };
  return {
    start: () => schedule(everyMs),
    now: () => lookInTurn(true),
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
