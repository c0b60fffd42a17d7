import { type FSWatcher, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Writers do many things at once. */
const PAUSE_MS = 100;
/** A folder may have a file that is written all the time and has nothing to do with bundles. */
const SPACING_MS = 1000;

/**
 * Tells that something has happened to a file, or in a folder, as far as the system says so; whoever must know looks from
 * time to time as well. Returns what ends it. Never throws.
 */
export function watchPath(path: string, onChange: () => void): () => void {
  const name = basename(path);
  let inner: FSWatcher | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  let toldMs = Number.NEGATIVE_INFINITY;

  const changed = (): void => {
    if (isOver || timer !== undefined) return;
    const tell = (): void => {
      timer = undefined;
      toldMs = performance.now();
      watchInner();
      onChange();
    };
    timer = setTimeout(tell, Math.max(PAUSE_MS, toldMs + SPACING_MS - performance.now()));
    timer.unref();
  };
  // Anew after each change: a folder that took the place of another is not seen through the old watch.
  const watchInner = (): void => {
    inner?.close();
    inner = isFolder(path) ? open(path, { recursive: true }, changed) : undefined;
  };
  // The folder above sees a file that is replaced by another; `..data` is how Kubernetes does it.
  const outer = open(dirname(path), {}, (entry) => {
    if (entry === null || entry === name || entry.startsWith('..')) changed();
  });
  watchInner();

  return () => {
    isOver = true;
    clearTimeout(timer);
    inner?.close();
    outer?.close();
  };
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function open(
  path: string,
  options: { readonly recursive?: boolean },
  onEvent: (entry: string | null) => void,
): FSWatcher | undefined {
  try {
    const watcher = watch(path, { ...options, persistent: false }, (_event, entry) => onEvent(entry));
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
