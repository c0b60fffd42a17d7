import type { StoredFile } from './parquet.ts';

/** What a question looks at: files, and segments of the tail. What it names stays until it is released. */
export type View = {
  readonly files: readonly StoredFile[];
  readonly segments: readonly string[];
  readonly release: () => void;
};

/**
 * Which decisions there are, and where. A segment moves from the tail to a file in one step, so that every view has each
 * decision once; what no view names any more is cleared away after that.
 */
export type Catalog = {
  readonly files: () => readonly StoredFile[];
  readonly segments: () => readonly string[];
  readonly view: () => View;
  /** Something to look at in the tail. */
  readonly addSegment: (segment: string) => void;
  /** `added` take the place of what is named; `clear` is called once nobody looks at it any more. */
  readonly replace: (change: {
    readonly added?: readonly StoredFile[];
    readonly files?: readonly StoredFile[];
    readonly segments?: readonly string[];
    readonly clear?: () => Promise<void> | void;
  }) => void;
  /** Resolves when all that was to be cleared is. */
  readonly cleared: () => Promise<void>;
};

export function createCatalog(onError: (error: unknown) => void): Catalog {
  const files = new Map<string, StoredFile>();
  const segments = new Set<string>();
  const views = new Set<number>();
  const waiting: { readonly before: number; readonly clear: () => Promise<void> | void }[] = [];
  let lastView = 0;
  let clearing: Promise<void> = Promise.resolve();

  function clearUp(): void {
    const oldest = Math.min(...views, Number.POSITIVE_INFINITY);
    while (waiting[0] !== undefined && waiting[0].before < oldest) {
      const { clear } = waiting[0];
      waiting.shift();
      clearing = clearing.then(clear).catch(onError);
    }
  }

  return {
    files: () => [...files.values()],
    segments: () => [...segments],
    view: () => {
      const id = ++lastView;
      views.add(id);
      return {
        files: [...files.values()],
        segments: [...segments],
        release: () => {
          views.delete(id);
          clearUp();
        },
      };
    },
    addSegment: (segment) => void segments.add(segment),
    replace: ({ added = [], files: gone = [], segments: moved = [], clear }) => {
      for (const file of gone) files.delete(file.name);
      for (const segment of moved) segments.delete(segment);
      for (const file of added) files.set(file.name, file);
      if (clear === undefined) return;
      waiting.push({ before: lastView, clear });
      clearUp();
    },
    cleared: () => clearing,
  };
}
