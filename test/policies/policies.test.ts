import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, tool } from '../support/process.ts';
import { scratchFolder } from '../support/servers.ts';

const opa = (...args: readonly string[]): string =>
  execFileSync(tool('opa'), args, { cwd: root, encoding: 'utf8', stdio: 'pipe' });

test('the default policy passes its tests, which cover it', () => {
  opa('test', 'policies');
  const report = JSON.parse(opa('test', 'policies', '--coverage', '--format', 'json')) as { coverage: number };
  assert.ok(report.coverage >= 95, `${report.coverage} %`);
});

test('the default policy is formatted and strict', () => {
  opa('fmt', '--fail', '-l', 'policies');
  opa('check', '--strict', 'policies');
});

test('the committed default bundle is what policies/ gives when it is built again', (context) => {
  const rebuilt = join(scratchFolder(context), 'bundle.tar.gz');
  execFileSync('sh', [join(root, 'bundles/build'), rebuilt], {
    stdio: 'pipe',
    env: { ...process.env, OPA_BIN: tool('opa') },
  });
  assert.ok(readFileSync(rebuilt).equals(readFileSync(join(root, 'bundles/default.tar.gz'))), 'run bundles/build');
});
