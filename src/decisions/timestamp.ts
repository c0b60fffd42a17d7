/** RFC 3339 with nine digits of a second; ms carry six digits of fraction at most. */
export function timestampOf(timeMs: number): string {
  const wholeMs = Math.floor(timeMs);
  const nanos = Math.min(999_999, Math.round((timeMs - wholeMs) * 1e6));
  return `${new Date(wholeMs).toISOString().slice(0, -1)}${String(nanos).padStart(6, '0')}Z`;
}
