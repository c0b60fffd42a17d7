import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text as textOf } from 'node:stream/consumers';
import { test } from 'node:test';
import { createDecisionLog } from '../../src/decisions/decision-log.ts';
import { createConsoleSink } from '../../src/decisions/sinks/console.ts';
import { createFileSink } from '../../src/decisions/sinks/file.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { recordOf } from './records.ts';

const fail = (error: unknown): never => assert.fail(String(error));
const parsed = (text: string): JsonObject[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as JsonObject);

test('decisions reach console and file, in order, without their secrets', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-decision-log-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'decisions.jsonl');
  const stream = new PassThrough();
  const printed = textOf(stream);
  const written = new Map<string, number>();
  const log = createDecisionLog({
    labels: { id: 'i1' },
    sinks: [createConsoleSink(stream), createFileSink({ path, maxBytes: 1e9, keep: 1, onError: fail })],
    onDrop: fail,
    onError: fail,
    onWritten: (count, sink) => written.set(sink, (written.get(sink) ?? 0) + count),
  });
  for (let i = 0; i < 300; i++) {
    log.record(recordOf({ headers: { authorization: 'Bearer canary-4711' } }, { decisionId: String(i) }));
  }
  await log.flush();
  assert.equal(readFileSync(path, 'utf8').split('\n').length, 301);
  log.record(recordOf({}, { decisionId: '300' }));
  await log.stop();
  stream.end();
  const inFile = readFileSync(path, 'utf8');
  const inConsole = await printed;
  for (const output of [inFile, inConsole]) {
    assert.ok(!output.includes('canary'));
    assert.deepEqual(
      parsed(output).map((event) => event['decision_id']),
      Array.from({ length: 301 }, (_, i) => String(i)),
    );
  }
  assert.deepEqual([...written.entries()].sort(), [
    ['console', 301],
    ['file', 301],
  ]);
});

test('10,000 decisions may wait unless it is said otherwise; the others are counted', async () => {
  const record = recordOf({});
  for (const [given, expected] of [
    [{}, 10_000],
    [{ capacity: 3 }, 3],
  ] as const) {
    let dropped = 0;
    let written = 0;
    const log = createDecisionLog({
      ...given,
      labels: {},
      sinks: [{ name: 'memory', write: async (lines) => lines.length, close: async () => {} }],
      onDrop: (count) => {
        dropped += count;
      },
      onError: fail,
      onWritten: (count) => {
        written += count;
      },
    });
    for (let i = 0; i < 10_010; i++) log.record(record);
    assert.equal(dropped, 10_010 - expected);
    await log.stop();
    assert.equal(written, expected);
  }
});
