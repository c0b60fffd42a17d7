import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '..');

const contents = (folder: string): Map<string, string> =>
  new Map(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .sort()
      .map((file) => [file, readFileSync(join(folder, file), 'utf8')]),
  );

const outputs = [
  ['buf.gen.yaml', 'src/envoy/gen'],
  ['buf.gen.spiffe.yaml', 'src/identity/workload-api/gen'],
] as const;
for (const [file, folder] of outputs) {
  test(`the committed protobuf code in ${folder} is what proto/ gives when it is generated again`, () => {
    const out = mkdtempSync(join(tmpdir(), 'postern-gen-'));
    try {
      const template = readFileSync(join(root, file), 'utf8').replace(`out: ${folder}`, `out: ${out}`);
      execFileSync(join(root, 'node_modules/.bin/buf'), ['generate', '--template', template], {
        cwd: root,
        stdio: 'pipe',
        // The generator's own first line asks for `node`: it must be the one that runs this test.
        env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` },
      });
      const committed = contents(join(root, folder));
      assert.ok(committed.size > 0);
      assert.deepEqual(contents(out), committed);
    } finally {
      rmSync(out, { recursive: true, force: true });
    }
  });
}
