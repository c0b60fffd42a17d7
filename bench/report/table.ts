import type { Goal, Results, Row, Section, Unit } from './row.ts';

/*
 * Results as one table in Markdown.
 */

/** How many digits are shown behind the point. */
const digits: { readonly [unit in Unit]: number } = { µs: 1, ms: 2, MiB: 0, '/s': 0, decisions: 0, '': 2 };

const HEAD = '| | measured | ratio | to | goal |\n|---|---|---|---|---|';

/** Whether a goal is reached; undefined where there is none. */
export function isReached({ goal, figures, ratio }: Row): boolean | undefined {
  if (goal === undefined) return undefined;
  const value = goal.of === 'ratio' ? ratio?.value : figures.at(-1);
  // What was not measured is not reached.
  if (value === undefined || !Number.isFinite(value)) return false;
  return 'most' in goal ? value <= goal.most : value >= goal.least;
}

function goalCell(row: Row): string {
  const { goal, unit } = row;
  if (goal === undefined) return '';
  const wanted = 'most' in goal ? `≤ ${goal.most}` : `≥ ${goal.least}`;
  return `${wanted}${unitOf(goal, unit)}: ${isReached(row) ? 'met' : '**missed**'}`;
}

const unitOf = (goal: Goal, unit: Unit): string => (goal.of === 'figure' && unit !== '' ? ` ${unit}` : '');

function figuresCell({ figures, unit }: Row): string {
  if (figures.length === 0) return '';
  const shown = figures.map((figure) => figure.toFixed(digits[unit])).join(' / ');
  return unit === '' ? shown : `${shown} ${unit}`;
}

function lineOf(row: Row): string {
  const { name, ratio, recorded } = row;
  const marked = recorded === undefined ? name : `${name} †`;
  return `| ${marked} | ${figuresCell(row)} | ${ratio?.value.toFixed(2) ?? ''} | ${ratio?.to ?? ''} | ${goalCell(row)} |`;
}

const sectionOf = ({ title, rows }: Section): string => [`| **${title}** | | | | |`, ...rows.map(lineOf)].join('\n');

/** Machine, table, and what its marks mean. */
export function tableOf({ date, commit, isQuick, machine, sections }: Results): string {
  const { cpu, cores, memoryGib, node, system } = machine;
  const rows = sections.flatMap((section) => section.rows);
  const missed = rows.filter((row) => isReached(row) === false).length;
  const goals = rows.filter((row) => row.goal !== undefined).length;
  const notes = [...new Set(rows.flatMap((row) => row.recorded ?? []))].map(
    (note) => `† the peer's figures are not of this run: ${note}`,
  );
  return [
    `${cores} cores of ${cpu}, ${memoryGib} GiB, ${system}, Node ${node}; commit ${commit}, ${date}${isQuick ? '; a quick run, whose figures mean little' : ''}.`,
    `Latencies are p50 / p99 / p99.9. ${goals - missed} of ${goals} goals are met.`,
    '',
    HEAD,
    ...sections.map(sectionOf),
    ...(notes.length === 0 ? [] : ['', ...notes]),
  ].join('\n');
}
