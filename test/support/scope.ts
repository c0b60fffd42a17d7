/** Where clean-up is left: a test's context, or a suite's own scope. */
export type Scope = { readonly after: (clean: () => unknown) => void };

/** A scope for what several tests of a suite share; `close` cleans up, last first. */
export function createScope(): Scope & { readonly close: () => Promise<void> } {
  const cleaners: (() => unknown)[] = [];
  return {
    after: (clean) => void cleaners.push(clean),
    close: async () => {
      for (const clean of cleaners.splice(0).reverse()) await clean();
    },
  };
}
