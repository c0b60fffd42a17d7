let second = Number.NaN;
let prefix = '';

/** RFC 3339 with nine digits of a second; ms carry six digits of fraction at most. */
export function timestampOf(timeMs: number): string {
  const whole = Math.floor(timeMs / 1000);
  if (whole !== second) {
    prefix = new Date(whole * 1000).toISOString().slice(0, 20);
    second = whole;
  }
  const wholeMs = Math.floor(timeMs);
  const nanos = Math.min(999_999, Math.round((timeMs - wholeMs) * 1e6));
  return `${prefix}${String(wholeMs - whole * 1000).padStart(3, '0')}${String(nanos).padStart(6, '0')}Z`;
}
