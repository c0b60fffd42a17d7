/* Tables for people, and the same for programs. */

export const outputFormats = ['table', 'json', 'ndjson', 'csv'] as const;
export type OutputFormat = (typeof outputFormats)[number];

export type Cells = readonly (string | number | boolean | null | object)[];

const MAX_WIDTH = 60;
/** Control and formatting characters, line and paragraph separators. */
const HIDDEN = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** What a terminal would act upon, and what a text could hide behind, is shown and not sent. */
export const visible = (text: string): string =>
  text.replace(HIDDEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

const textOf = (cell: Cells[number]): string =>
  cell === null ? '' : typeof cell === 'object' ? JSON.stringify(cell) : String(cell);
const shown = (cell: Cells[number]): string => {
  const text = visible(textOf(cell));
  return text.length > MAX_WIDTH ? `${text.slice(0, MAX_WIDTH - 1)}…` : text;
};

/** Numbers stand at the right. */
export function table(head: readonly string[], rows: readonly Cells[]): string {
  const texts = rows.map((row) => row.map(shown));
  const widths = head.map((name, i) => Math.max(name.length, ...texts.map((row) => row[i]?.length ?? 0)));
  const isNumber = head.map(
    (_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === 'number' || row[i] === null),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return `${[line(head), line(widths.map((width) => '─'.repeat(width))), ...texts.map(line)].join('\n')}\n`;
}

/** RFC 4180, but for line ends, which are those of Unix. */
export const csvLine = (cells: Cells): string => {
  const quoted = cells.map((cell) => {
    const text = visible(textOf(cell));
    return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${quoted.join(',')}\n`;
};

export const objectOf = (head: readonly string[], cells: Cells): object =>
  Object.fromEntries(head.map((name, i) => [name, cells[i] ?? null]));

/** Rows in any of the formats. */
export function rendered(format: OutputFormat, head: readonly string[], rows: readonly Cells[]): string {
  switch (format) {
    case 'table':
      return table(head, rows);
    case 'csv':
      return [head, ...rows].map(csvLine).join('');
    case 'ndjson':
      return rows.map((row) => `${JSON.stringify(objectOf(head, row))}\n`).join('');
    case 'json':
      return `${JSON.stringify(rows.map((row) => objectOf(head, row)))}\n`;
  }
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of that share of the width, in eighths of a character. */
export function bar(share: number, width: number): string {
  const eighths = share > 0 ? Math.max(1, Math.round(share * width * 8)) : 0;
  return '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8];
}

/** µs, as people say it. */
export function duration(us: number): string {
  if (us < 1000) return `${us} µs`;
  if (us < 1_000_000) return `${Number((us / 1000).toPrecision(3))} ms`;
  return `${Number((us / 1_000_000).toPrecision(3))} s`;
}
