/** Delay in ms before attempt number `failures` + 1: doubling from `baseMs`, capped, with the upper half jittered. */
export function backoffMs(failures: number, baseMs: number, capMs: number, random: () => number): number {
  const full = Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
  return full / 2 + (full / 2) * random();
}
