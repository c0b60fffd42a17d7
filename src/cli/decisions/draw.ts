import type { HistogramAnswer, Series } from '../../decisions/query/histogram.ts';
import type { TopAnswer } from '../../decisions/query/top.ts';
import { bar, duration, table } from './render.ts';

const WIDTH = 40;
const names = { total: 'whole check', identity: 'identity', eval: 'evaluation' } as const;

/** A histogram for each phase; of groups their quantiles. */
export function drawHistogram(answer: HistogramAnswer, by: string): string {
  const { bounds, series } = answer;
  if (series.length === 0) return 'no decisions\n';
  const drawn = series.flatMap((each) => (each.counts === undefined ? [] : [drawSeries(bounds, each, each.counts)]));
  return drawn.length > 0 ? drawn.join('\n') : drawGroups(series, by);
}

function drawGroups(series: readonly Series[], by: string): string {
  const rows = series.map(({ phase, value, count, p50, p90, p99, p999, max }) => [
    names[phase],
    value ?? '(none)',
    count,
    ...[p50, p90, p99, p999, max].map((us) => duration(us).padStart(8)),
  ]);
  return table(['phase', by, 'decisions', 'p50', 'p90', 'p99', 'p99.9', 'max'], rows);
}

function drawSeries(bounds: readonly number[], series: Series, counts: readonly number[]): string {
  const { phase, count, p50, p90, p99, p999, max } = series;
  const title = `${names[phase]}: ${count} decisions`;
  const quantiles = [`p50 ${duration(p50)}`, `p90 ${duration(p90)}`, `p99 ${duration(p99)}`, `p99.9 ${duration(p999)}`];
  const first = counts.findIndex((n) => n > 0);
  const last = counts.findLastIndex((n) => n > 0);
  const most = Math.max(...counts);
  const digits = String(most).length;
  const lines = counts.slice(first, last + 1).map((n, i) => {
    const bound = bounds[first + i];
    const label = bound === undefined ? `> ${duration(bounds.at(-1) ?? 0)}` : `≤ ${duration(bound)}`;
    const share = ((100 * n) / count).toFixed(1);
    return `${label.padStart(9)} │${bar(n / most, WIDTH).padEnd(WIDTH)} ${String(n).padStart(digits)} ${share.padStart(5)} %`;
  });
  return `${[title, `  ${quantiles.join('   ')}   max ${duration(max)}`, ...lines].join('\n')}\n`;
}

/** What occurs most, with bars. */
export function drawTop(by: string, { total, rows }: TopAnswer): string {
  const most = Math.max(...rows.map(({ count }) => count), 1);
  const lines = rows.map(({ value, count, denied }) => [
    value ?? '(none)',
    count,
    `${((100 * count) / Math.max(total, 1)).toFixed(1)} %`,
    denied,
    bar(count / most, WIDTH / 2),
  ]);
  return `${table([by, 'decisions', 'share', 'denied', ''], lines)}${total} decisions in all\n`;
}
