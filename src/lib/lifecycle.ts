/** One part of a running server: how to start it, and how to stop it again. */
export type Part = {
  readonly name: string;
  readonly start?: () => Promise<void> | void;
  readonly stop?: () => Promise<void> | void;
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
