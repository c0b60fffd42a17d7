import assert from 'node:assert/strict';
import { renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { messageOf } from '../../src/lib/message.ts';
import { readLimited } from '../../src/lib/read-limited.ts';
import { type WatchedFile, watchFile } from '../../src/lib/watched-file.ts';
import { eventually } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);

describe('a watched file', () => {
  type Watched = WatchedFile & {
    readonly file: string;
    readonly taken: string[];
    readonly failures: string[];
    readonly opened: () => number;
  };

  async function watch(name: string, everyMs = 3_600_000): Promise<Watched> {
    const file = join(folder, name);
    const taken: string[] = [];
    const failures: string[] = [];
    let opened = 0;
    writeFileSync(file, 'first');
    const watched = watchFile({
      file,
      maxBytes: 100,
      everyMs,
      open: (content) => {
        opened++;
        if (content.toString().startsWith('bad')) throw new Error('it is bad');
        return content.toString();
      },
      onChange: (value) => taken.push(value),
      onFailure: (error) => failures.push(messageOf(error)),
    });
    await watched.start();
    suite.after(watched.stop);
    return { ...watched, file, taken, failures, opened: () => opened };
  }
  function replace(file: string, content: string): void {
    writeFileSync(`${file}.new`, content);
    renameSync(`${file}.new`, file);
  }

  test('is taken again when it was replaced or written over, by itself and on demand', async () => {
    for (const change of [replace, writeFileSync]) {
      const polled = await watch(`polled-${change.name}`, 10);
      change(polled.file, 'second');
      await eventually(async () => (polled.taken.length === 2 ? true : undefined));
      const asked = await watch(`asked-${change.name}`);
      change(asked.file, 'second');
      await asked.reload();
      for (const { taken, failures } of [polled, asked]) assert.deepEqual([taken, failures], [['first', 'second'], []]);
    }
  });

  test('of the same size and the same time is taken again all the same', async () => {
    const watched = await watch('same');
    const time = new Date(1_700_000_000_000);
    utimesSync(watched.file, time, time);
    await watched.reload();
    writeFileSync(watched.file, 'other');
    utimesSync(watched.file, time, time);
    await watched.reload();
    assert.equal(watched.taken.at(-1), 'other');
  });

  test('is not read when nothing has changed', async () => {
    const watched = await watch('still');
    await watched.reload();
    await watched.reload();
    assert.equal(watched.opened(), 1);
  });

  test('stays as it was while it is bad, too large or gone; every look is a failure, and a bad one is read once', async () => {
    const watched = await watch('bad');
    replace(watched.file, 'bad');
    for (let look = 0; look < 3; look++) await watched.reload();
    assert.deepEqual(watched.failures.splice(0), ['it is bad', 'it is bad', 'it is bad']);
    assert.equal(watched.opened(), 2);
    replace(watched.file, 'x'.repeat(101));
    await watched.reload();
    assert.match(watched.failures.splice(0)[0] ?? '', /larger than 100 bytes/);
    rmSync(watched.file);
    await watched.reload();
    assert.match(watched.failures.splice(0)[0] ?? '', /ENOENT/);
    assert.deepEqual(watched.taken, ['first']);
    replace(watched.file, 'again');
    await watched.reload();
    assert.deepEqual([watched.taken, watched.failures], [['first', 'again'], []]);
  });

  test('that cannot be used is refused at the start, and is not looked at any more', async () => {
    const failures: unknown[] = [];
    const options = {
      maxBytes: 100,
      everyMs: 10,
      onChange: () => {},
      onFailure: (error: unknown) => failures.push(error),
    };
    const open = (): never => {
      throw new Error('it is bad');
    };
    const file = join(folder, 'start');
    writeFileSync(file, 'bad');
    await assert.rejects(watchFile({ ...options, file, open }).start(), /it is bad/);
    await assert.rejects(watchFile({ ...options, file: join(folder, 'none'), open }).start(), /ENOENT/);
    await assert.rejects(watchFile({ ...options, file: folder, open }).start(), /not a regular file/);
    await assert.rejects(watchFile({ ...options, file: '/dev/zero', open }).start(), /not a regular file/);
    assert.deepEqual(failures, []);
  });
});

describe('a file that is read within limits', () => {
  const written = (content: Buffer): string => {
    const file = join(folder, 'content');
    writeFileSync(file, content);
    return file;
  };

  test('comes as it is, up to the last byte', async () => {
    for (const size of [0, 1, 4_194_303, 4_194_304, 9_000_000]) {
      const content = Buffer.alloc(size, 'abcdefg');
      assert.ok(content.equals(await readLimited(written(content), size)), `${size}`);
      if (size > 0) await assert.rejects(readLimited(written(content), size - 1), /is larger than/);
    }
  });

  test('may have no size before it is read', async () => {
    assert.match((await readLimited('/proc/self/status', 1_000_000)).toString(), /^Name:.*\n[\s\S]*VmRSS:/);
    await assert.rejects(readLimited('/proc/self/status', 10), /is larger than 10 bytes/);
  });
});
