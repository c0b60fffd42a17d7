import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { benchPartOf, withBenchPart } from '../../bench/report/readme.ts';
import { latestResults, toJson } from '../../bench/report/results.ts';
import type { Results, Row } from '../../bench/report/row.ts';
import { isReached, tableOf } from '../../bench/report/table.ts';
import { root } from '../support/process.ts';

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const machine = { cpu: 'a processor', cores: 2, memoryGib: 8, node: '26.0.0', system: 'Linux 6' };

const resultsWith = (...rows: readonly Row[]): Results => ({
  date: '2026-01-02',
  commit: 'abc',
  isQuick: false,
  machine,
  sections: [{ title: 'CPU', rows }],
});

test('the table in the README is what the last full run gives', () => {
  const results = latestResults();
  // Before the first full run there is another one, which no file is the source of.
  if (results === undefined) assert.match(benchPartOf(readme), /^\| server \|/m);
  else {
    assert.equal(benchPartOf(readme), tableOf(results), 'run `npm run bench:readme`');
    assert.equal(results.isQuick, false);
  }
});

test('the table says of each goal whether it is met, in the unit of what it is for', () => {
  const table = tableOf(
    resultsWith(
      { name: 'one', figures: [10], unit: 'µs' },
      { name: 'other', figures: [7], unit: 'µs', ratio: { to: 'one', value: 0.7 }, goal: { of: 'ratio', most: 0.65 } },
      { name: 'latency', figures: [1, 2, 3.5], unit: 'ms', goal: { of: 'figure', most: 4 } },
      {
        name: 'two workers',
        figures: [],
        unit: '',
        ratio: { to: 'one', value: 1.7 },
        goal: { of: 'ratio', least: 1.7 },
      },
    ),
  );
  assert.deepEqual(table.split('\n').slice(0, 2), [
    '2 cores of a processor, 8 GiB, Linux 6, Node 26.0.0; commit abc, 2026-01-02.',
    'Latencies are p50 / p99 / p99.9. 2 of 3 goals are met.',
  ]);
  assert.deepEqual(table.split('\n').slice(-4), [
    '| one | 10.0 µs |  |  |  |',
    '| other | 7.0 µs | 0.70 | one | ≤ 0.65: **missed** |',
    '| latency | 1.00 / 2.00 / 3.50 ms |  |  | ≤ 4 ms: met |',
    '| two workers |  | 1.70 | one | ≥ 1.7: met |',
  ]);
});

test('a goal of which nothing was measured is missed', () => {
  const row: Row = { name: 'one', figures: [], unit: 'µs', goal: { of: 'ratio', most: 1 } };
  assert.equal(isReached(row), false);
  assert.equal(isReached({ ...row, ratio: { to: 'other', value: Number.NaN } }), false);
  assert.equal(isReached({ ...row, goal: { of: 'figure', most: 1 } }), false);
});

test('figures that are not of the run are marked as such', () => {
  const table = tableOf(resultsWith({ name: 'peer', figures: [182.5], unit: 'µs', recorded: 'elsewhere' }));
  assert.match(table, /^\| peer † \| 182\.5 µs \|/m);
  assert.match(table, /† the peer's figures are not of this run: elsewhere$/);
});

test('a quick run says so', () => {
  assert.match(tableOf({ ...resultsWith(), isQuick: true }), /a quick run/);
});

test('results read back give the same table', () => {
  const results = resultsWith({ name: 'one', figures: [1234.5678, 0.123456], unit: 'µs' });
  const read = JSON.parse(toJson(results)) as Results;
  assert.equal(tableOf(JSON.parse(toJson(read)) as Results), tableOf(read));
});

test('another table takes the place of the one in the README, and leaves the rest', () => {
  const changed = withBenchPart(readme, 'a table');
  assert.equal(benchPartOf(changed), 'a table');
  assert.equal(withBenchPart(changed, benchPartOf(readme)), readme);
});

test('a README without its markers, or with two of them, is refused', () => {
  for (const text of ['', '<!-- bench:start -->', '<!-- bench:end --> <!-- bench:start -->', readme + readme]) {
    assert.throws(() => withBenchPart(text, 'a table'), /the README needs one/);
  }
});
