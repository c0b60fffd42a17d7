/** Seconds that are remembered: processes are read one after the other. */
const MAX_WINDOWS = 3600;

/** Admits so many decisions in each second of theirs, one at least in each window that is long enough for one. */
export function createRate(perSecond: number): (timeMs: number) => boolean {
  const windowMs = Math.max(1, 1 / perSecond) * 1000;
  const most = Math.max(1, Math.floor(perSecond));
  const counts = new Map<number, number>();
  return (timeMs) => {
    const window = Math.floor(timeMs / windowMs);
    const count = (counts.get(window) ?? 0) + 1;
    counts.set(window, count);
    const [oldest] = counts.keys();
    if (counts.size > MAX_WINDOWS && oldest !== undefined) counts.delete(oldest);
    return count <= most;
  };
}
