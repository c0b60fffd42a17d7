/** One part of a running server: how to start it, and how to stop it again. */
export type Part = {
  readonly name: string;
  readonly start?: () => Promise<void> | void;
  readonly stop?: () => Promise<void> | void;
  /** Looks again at what it was started from (files, say), now. */
  readonly reload?: () => Promise<void> | void;
};

/**
 * Starts parts in order; when one fails, stops those that had started, last first, and rejects with its error. Returns
 * what stops them all, last first; a part that fails to stop keeps none of the others from stopping.
 */
export async function startAll(
  parts: readonly Part[],
  onStopError: (name: string, error: unknown) => void,
): Promise<() => Promise<void>> {
  const started: Part[] = [];
  const stopAll = async (): Promise<void> => {
    for (const part of started.splice(0).reverse()) {
      try {
        await part.stop?.();
      } catch (error) {
        onStopError(part.name, error);
      }
    }
  };
  for (const part of parts) {
    // Before it is started: half-started parts have something to clean up too.
    started.push(part);
    try {
      await part.start?.();
    } catch (error) {
      await stopAll();
      throw error;
    }
  }
  return stopAll;
}

/**
 * Lets every part that can reload do so, in order; one that fails keeps none of the others from it. One turn at a time:
 * those who ask during one share the next. Resolves, with the names of the parts that have reloaded, when a turn that
 * began after the call has ended.
 */
export function createReload(
  parts: readonly Part[],
  onError: (name: string, error: unknown) => void,
): () => Promise<readonly string[]> {
  const turn = async (): Promise<readonly string[]> => {
    const reloaded: string[] = [];
    for (const part of parts) {
      if (part.reload === undefined) continue;
      try {
        await part.reload();
        reloaded.push(part.name);
      } catch (error) {
        onError(part.name, error);
      }
    }
    return reloaded;
  };
  let last: Promise<unknown> = Promise.resolve();
  let waiting: Promise<readonly string[]> | undefined;
  return () => {
    if (waiting !== undefined) return waiting;
    const next = last.then(() => {
      waiting = undefined;
      return turn();
    });
    waiting = next;
    last = next.catch(() => {});
    return next;
  };
}
