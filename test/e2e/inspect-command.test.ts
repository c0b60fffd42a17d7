import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { BundleReport } from '../../src/cli/bundle/ports.ts';
import { bundleOf } from '../support/archive.ts';
import { root } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, scratchFolder } from '../support/servers.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };
const inspect = (...args: readonly string[]): Promise<Ran> =>
  new Promise((resolve) => {
    execFile(join(root, 'bin/postern'), ['bundle', 'inspect', ...args], (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });

async function problemsOf(file: string, ...args: readonly string[]): Promise<readonly string[]> {
  const { code, stdout, stderr } = await inspect(file, '--format', 'json', ...args);
  const { problems } = JSON.parse(stdout || '{"problems":[]}') as BundleReport;
  assert.equal(code, problems.length === 0 ? 0 : 1, stderr);
  return problems;
}

const policy = (body: string, name: string): string => buildPolicy(`package envoy.authz\n\n${body}\n`, folder, name);

describe('postern bundle inspect', () => {
  test('tells what is in a bundle that can serve', async () => {
    const { code, stdout } = await inspect(policy('allow := sprintf("%d", [input.n]) == "1"', 'good'));
    assert.equal(code, 0);
    assert.match(stdout, /revision: +r1\n/);
    assert.match(stdout, /module: +policy\.wasm, \d+ bytes, ABI 1\.\d/);
    assert.match(stdout, /entrypoints: +envoy\/authz\/allow\nbuilt-ins: +sprintf\nit can serve\n$/);
  });

  test('names what can never be answered, and what has to be allowed first', async () => {
    const allowed = ['--config-file', join(folder, 'config.yaml')];
    writeFileSync(join(folder, 'config.yaml'), 'postern: { http_send: { allow_hosts: [a] } }');
    const network = policy('allow if http.send({"method": "GET", "url": "http://a/"}).status_code == 200', 'network');
    assert.deepEqual(await problemsOf(network), [
      'the policy uses the network, and postern.http_send.allow_hosts allows no host',
    ]);
    assert.deepEqual(await problemsOf(network, ...allowed), []);
    const parser = policy('allow if rego.parse_module("a.rego", input.text)', 'parser');
    const [problem = '', ...more] = await problemsOf(parser);
    assert.match(
      problem,
      /^policy\.wasm: .*not available: rego\.parse_module \(rego\.parse_module: it needs the parser/,
    );
    assert.deepEqual(more, []);
  });

  test('asks the policy once, for the decision that is configured', async () => {
    const endless = policy('allow if count([x | some x in numbers.range(1, 100000000)]) > 0', 'endless');
    assert.match((await problemsOf(endless)).join(), /fails when it is asked/);
    const other = await problemsOf(policy('allow := true', 'other'), '--set', 'plugins.envoy_ext_authz_grpc.path=a/b');
    assert.match(other.join(), /no entrypoint serves a\/b \(the bundle has: envoy\/authz\/allow\)/);
  });

  test('refuses what is no bundle, and says so', async () => {
    writeFileSync(join(folder, 'text'), 'nonsense');
    assert.equal((await problemsOf(join(folder, 'text'))).length, 1);
    for (const [name, content] of [
      ['.manifest', '{"roots":["a"]}'],
      ['data.json', '{"a":1}'],
      ['policy.wasm', 'nonsense'],
      ['p.rego', 'package p'],
    ] as const) {
      const file = join(folder, 'bad.tar.gz');
      writeFileSync(file, bundleOf([{ name, content }]));
      assert.equal((await problemsOf(file)).length, 1, name);
    }
    const { code, stderr } = await inspect(join(folder, 'absent'));
    assert.equal(code, 2);
    assert.match(stderr, /no such file/);
  });
});
