import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { createFileSink, type FileSinkOptions } from '../../../src/decisions/sinks/file.ts';

function createSubject(t: TestContext, over: Partial<FileSinkOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'postern-file-sink-'));
  const path = join(folder, 'decisions.jsonl');
  const errors: unknown[] = [];
  const sink = createFileSink({ path, maxBytes: 1e6, keep: 3, onError: (error) => errors.push(error), ...over });
  t.after(async () => {
    await sink.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, path, errors, sink, text: (suffix = '') => readFileSync(`${path}${suffix}`, 'utf8') };
}

const modeOf = (path: string): number => statSync(path).mode & 0o777;
const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException).code;

describe('appending', () => {
  test('each line ends with a newline, and what was there stays', async (t) => {
    const { sink, path, text } = createSubject(t);
    writeFileSync(path, 'old\n');
    assert.equal(await sink.write(['a', 'b']), 2);
    assert.equal(await sink.write(['ä€😀']), 1);
    assert.equal(text(), 'old\na\nb\nä€😀\n');
  });

  test('the file is for its owner only, and so are folders that are made', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-file-sink-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const { sink } = createSubject(t, { path: join(folder, 'a/b/decisions.jsonl'), maxBytes: 4 });
    await sink.write(['one', 'two']);
    assert.equal(modeOf(join(folder, 'a')), 0o700);
    assert.equal(modeOf(join(folder, 'a/b')), 0o700);
    assert.equal(modeOf(join(folder, 'a/b/decisions.jsonl')), 0o600);
    assert.equal(modeOf(join(folder, 'a/b/decisions.jsonl.1')), 0o600);
  });

  test('permissions that somebody gave to the file are kept', async (t) => {
    const { sink, path } = createSubject(t);
    writeFileSync(path, '');
    chmodSync(path, 0o640);
    await sink.write(['a']);
    assert.equal(modeOf(path), 0o640);
  });

  test('a last line that a crash cut off is ended, and a whole one is not', async (t) => {
    const { sink, path, text } = createSubject(t);
    writeFileSync(path, '{"a":1}\n{"cut":');
    await sink.write(['{"b":2}']);
    assert.equal(text(), '{"a":1}\n{"cut":\n{"b":2}\n');
    await sink.close();
    await sink.write(['{"c":3}']);
    assert.equal(text(), '{"a":1}\n{"cut":\n{"b":2}\n{"c":3}\n');
  });

  test('a file that was closed is opened again by the next write, and closing twice is fine', async (t) => {
    const { sink, text, errors } = createSubject(t);
    await sink.close();
    await sink.write(['a']);
    await sink.close();
    await sink.close();
    await sink.write(['b']);
    assert.equal(text(), 'a\nb\n');
    assert.deepEqual(errors, []);
  });

  test('nothing to write makes no file', async (t) => {
    const { sink, folder } = createSubject(t);
    assert.equal(await sink.write([]), 0);
    assert.deepEqual(readdirSync(folder), []);
  });
});

describe('rotation', () => {
  test('a file is rotated before it grows beyond its limit, and the newest are kept', async (t) => {
    const { sink, folder, text } = createSubject(t, { maxBytes: 8, keep: 2 });
    for (let i = 0; i < 9; i++) await sink.write([`l-${i}`]);
    assert.equal(text(), 'l-8\n');
    assert.equal(text('.1'), 'l-6\nl-7\n');
    assert.equal(text('.2'), 'l-4\nl-5\n');
    assert.deepEqual(readdirSync(folder).sort(), ['decisions.jsonl', 'decisions.jsonl.1', 'decisions.jsonl.2']);
  });

  test('one large batch is spread over several files, no line is split or lost', async (t) => {
    const { sink, text } = createSubject(t, { maxBytes: 100, keep: 10 });
    const lines = Array.from({ length: 60 }, (_, i) => `line-${String(i).padStart(2, '0')}`);
    assert.equal(await sink.write(lines), 60);
    const files = ['.4', '.3', '.2', '.1', ''].map((suffix) => text(suffix));
    for (const file of files) assert.ok(Buffer.byteLength(file) <= 100);
    assert.equal(files.join(''), `${lines.join('\n')}\n`);
  });

  test('the limit counts bytes and not characters', async (t) => {
    const { sink, text } = createSubject(t, { maxBytes: 9 });
    await sink.write(['€', '€', '€']);
    assert.equal(text('.1'), '€\n€\n');
    assert.equal(text(), '€\n');
  });

  test('a line beyond the limit has a file of its own', async (t) => {
    const { sink, text } = createSubject(t, { maxBytes: 8 });
    await sink.write(['a', 'much too long', 'b']);
    assert.deepEqual([text('.2'), text('.1'), text()], ['a\n', 'much too long\n', 'b\n']);
  });

  test('what an earlier process wrote counts', async (t) => {
    const { sink, path, text } = createSubject(t, { maxBytes: 8 });
    writeFileSync(path, 'earlier');
    await sink.write(['a']);
    assert.deepEqual([text('.1'), text()], ['earlier\n', 'a\n']);
  });

  test('with nothing to keep the file starts again', async (t) => {
    const { sink, folder, text } = createSubject(t, { maxBytes: 4, keep: 0 });
    await sink.write(['one', 'two', 'six']);
    assert.equal(text(), 'six\n');
    assert.deepEqual(readdirSync(folder), ['decisions.jsonl']);
  });

  test('gaps among the rotated files do no harm', async (t) => {
    const { sink, path, text } = createSubject(t, { maxBytes: 4, keep: 3 });
    writeFileSync(`${path}.2`, 'older\n');
    await sink.write(['one', 'two']);
    assert.deepEqual([text(), text('.1'), text('.3')], ['two\n', 'one\n', 'older\n']);
  });
});

describe('faults', () => {
  test('a folder that cannot be made is reported, and the lines go in once it can', async (t) => {
    const { sink, folder, path, errors, text } = createSubject(t);
    rmSync(folder, { recursive: true });
    writeFileSync(folder, 'a file where the folder should be');
    assert.equal(await sink.write(['a', 'b']), 0);
    assert.equal(await sink.write(['a', 'b']), 0);
    assert.equal(errors.length, 2);
    rmSync(folder);
    assert.equal(await sink.write(['a', 'b', 'c']), 3);
    assert.equal(text(), 'a\nb\nc\n');
    assert.equal(modeOf(path), 0o600);
  });

  test('a folder that vanishes is made again', async (t) => {
    const { sink, folder, errors, text } = createSubject(t);
    await sink.write(['a']);
    rmSync(folder, { recursive: true });
    assert.equal(await sink.write(['b']), 1);
    assert.equal(text(), 'b\n');
    assert.deepEqual(errors, []);
  });

  test('a file that somebody else rotated is left alone and a new one made', async (t) => {
    const { sink, path, text } = createSubject(t);
    await sink.write(['a']);
    renameSync(path, `${path}.moved`);
    await sink.write(['b']);
    appendFileSync(`${path}.moved`, '');
    assert.deepEqual([text('.moved'), text()], ['a\n', 'b\n']);
  });

  test('a rotation that fails is reported, nothing is lost, and it is tried again', async (t) => {
    const { sink, path, errors, text } = createSubject(t, { maxBytes: 4, keep: 1 });
    mkdirSync(join(`${path}.1`, 'in the way'), { recursive: true });
    assert.equal(await sink.write(['one', 'two']), 1);
    assert.equal(errors.length, 1);
    assert.equal(text(), 'one\n');
    rmSync(`${path}.1`, { recursive: true });
    assert.equal(await sink.write(['two']), 1);
    assert.deepEqual([text('.1'), text()], ['one\n', 'two\n']);
  });

  test('a folder, a pipe and a device are refused without waiting for a reader', async (t) => {
    const { sink, folder, path, errors } = createSubject(t);
    mkdirSync(path);
    assert.equal(await sink.write(['a']), 0);
    assert.equal(codeOf(errors[0]), 'EISDIR');
    rmSync(path, { recursive: true });
    assert.equal(spawnSync('sh', ['-c', 'mkfifo "$0"', path]).status, 0);
    assert.equal(await sink.write(['a']), 0);
    assert.match(String(errors[1]), /not a regular file/);
    rmSync(path);
    symlinkSync('/dev/null', path);
    assert.equal(await sink.write(['a']), 0);
    assert.match(String(errors[2]), /not a regular file/);
    assert.deepEqual(readdirSync(folder), ['decisions.jsonl']);
  });

  test('on a full disk the complete lines count, the rest is offered again and appears once', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-file-sink-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'decisions.jsonl');
    const script = `
      import { renameSync } from 'node:fs';
      import { createFileSink } from ${JSON.stringify(new URL('../../../src/decisions/sinks/file.ts', import.meta.url).href)};
      const path = ${JSON.stringify(path)};
      const codes = [];
      const sink = createFileSink({ path, maxBytes: 1e9, keep: 1, onError: (error) => codes.push(error.code) });
      const lines = Array.from({ length: 40 }, (_, i) => String(i).padStart(99, '.'));
      const first = await sink.write(lines);
      const again = await sink.write(lines.slice(first));
      renameSync(path, path + '.full');
      const rest = await sink.write(lines.slice(first));
      process.stdout.write(JSON.stringify({ codes, first, again, rest }));`;
    // A limit on file sizes stands for the full disk: the write that crosses it is cut, the next one fails.
    const limited = spawnSync(
      'sh',
      ['-c', `trap '' XFSZ; ulimit -f 5; exec "$0" --input-type=module -e "$1"`, process.execPath, script],
      { encoding: 'utf8' },
    );
    assert.equal(limited.status, 0, limited.stderr);
    const { codes, first, again, rest } = JSON.parse(limited.stdout) as Record<string, number> & { codes: string[] };
    assert.ok(first !== undefined && first > 0 && first < 40, limited.stdout);
    assert.equal(again, 0);
    assert.equal(rest, 40 - first);
    assert.ok(codes.length > 0 && codes.every((code) => code === 'EFBIG'), limited.stdout);
    const complete = readFileSync(`${path}.full`, 'utf8').split('\n').slice(0, first);
    const later = readFileSync(path, 'utf8').trimEnd().split('\n');
    assert.deepEqual(
      [...complete, ...later],
      Array.from({ length: 40 }, (_, i) => String(i).padStart(99, '.')),
    );
  });
});
