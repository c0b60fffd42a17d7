/** Something to wait for, again and again. */
export type Signal = {
  /** Ends what waits now, or the next wait. */
  readonly raise: () => void;
  /** Resolves when it is raised, after so many ms at the latest. */
  readonly wait: (ms?: number) => Promise<void>;
};

export function createSignal(): Signal {
  let isRaised = false;
  let end: (() => void) | undefined;
  return {
    raise: () => {
      isRaised = true;
      end?.();
    },
    wait: async (ms) => {
      let timer: NodeJS.Timeout | undefined;
      if (!isRaised) {
        await new Promise<void>((resolve) => {
          end = resolve;
          if (ms !== undefined) timer = setTimeout(resolve, Math.max(0, ms));
        });
      }
      clearTimeout(timer);
      end = undefined;
      isRaised = false;
    },
  };
}
