import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createConsoleSink } from '../../../src/decisions/sinks/console.ts';

const clock = { wallMs: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678), monotonicMs: () => 0 };

function createCollector(options: { readonly highWaterMark?: number } = {}) {
  const chunks: string[] = [];
  const pending: (() => void)[] = [];
  const stream = new Writable({
    ...options,
    decodeStrings: false,
    write: (chunk: string, _encoding, done) => {
      chunks.push(chunk);
      pending.push(done);
    },
  });
  return { stream, chunks, readOne: () => pending.shift()?.() };
}

test('events are dressed as the console log of OPA dresses them', async () => {
  const { stream, chunks, readOne } = createCollector();
  const written = createConsoleSink(stream, clock).write(['{"labels":{},"result":true}', '{"labels":{}}']);
  readOne();
  assert.equal(await written, 2);
  const lines = chunks.join('').split('\n');
  assert.equal(lines.pop(), '');
  const dress = { level: 'info', msg: 'Decision Log', time: '2026-01-02T03:04:05Z' };
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      { ...dress, type: 'openpolicyagent.org/decision_logs', labels: {}, result: true },
      { ...dress, type: 'openpolicyagent.org/decision_logs', labels: {} },
    ],
  );
});

test('a write is over only when the stream has passed it on', async () => {
  const { stream, readOne } = createCollector({ highWaterMark: 1_000_000 });
  let isOver = false;
  const written = createConsoleSink(stream, clock)
    .write(['{"a":1}'])
    .then(() => {
      isOver = true;
    });
  await nextTurn();
  assert.equal(isOver, false);
  readOne();
  await written;
});

describe('a broken stream', () => {
  test('rejects the write and is no uncaught error', async () => {
    const stream = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
    });
    const sink = createConsoleSink(stream, clock);
    await assert.rejects(sink.write(['{"a":1}']), { code: 'EPIPE' });
    await assert.rejects(sink.write(['{"a":1}']));
    await nextTurn();
  });

  test('rejects when it was ended or destroyed', async () => {
    for (const end of [(stream: Writable) => stream.end(), (stream: Writable) => stream.destroy()]) {
      const { stream } = createCollector();
      const sink = createConsoleSink(stream, clock);
      end(stream);
      await assert.rejects(sink.write(['{"a":1}']));
      await nextTurn();
    }
  });

  test('closing the sink leaves the stream open', async () => {
    const { stream } = createCollector();
    await createConsoleSink(stream, clock).close();
    assert.ok(stream.writable);
  });
});

const source = new URL('../../../src/decisions/sinks/console.ts', import.meta.url).href;
const script = (body: string): string[] => [
  '--input-type=module',
  '-e',
  `import { createConsoleSink, openStandardOutput } from ${JSON.stringify(source)}; ${body}`,
];

test('a reader of standard output that goes away does not end the process', async () => {
  const child = spawn(
    process.execPath,
    script(`
      const sink = createConsoleSink(openStandardOutput());
      let failures = 0;
      while (failures < 3) await sink.write(['{"a":1}']).catch(() => failures++);
      process.stderr.write('survived');`),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  child.stdout.destroy();
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const [code] = await once(child, 'close');
  assert.equal(errors, 'survived');
  assert.equal(code, 0);
});

test('a reader of standard output that stops does not stop the event loop', async (t) => {
  const child = spawn(
    process.execPath,
    script(`
      const sink = createConsoleSink(openStandardOutput());
      const line = JSON.stringify({ a: 'x'.repeat(1000000) });
      void sink.write([line, line]);
      let ticks = 0;
      const timer = setInterval(() => { if (++ticks === 20) { clearInterval(timer); process.stderr.write('ticking'); } }, 1);`),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  t.after(() => child.kill('SIGKILL'));
  const [text] = await once(child.stderr.setEncoding('utf8'), 'data');
  assert.equal(text, 'ticking');
  let size = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
  });
  await once(child, 'close');
  assert.ok(size > 2_000_000);
});
