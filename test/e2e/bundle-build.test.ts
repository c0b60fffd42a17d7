import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { BundleReport } from '../../src/cli/bundle/ports.ts';
import { opa, postern, type Ran, runFile } from '../support/command.ts';
import { tool } from '../support/process.ts';
import { createRepository, git, writeTexts } from '../support/repository.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

const suite = createScope();
after(suite.close);
const scratch = scratchFolder(suite);
let folders = 0;
const newFolder = (): string => {
  const folder = join(scratch, `f${++folders}`);
  mkdirSync(folder);
  return folder;
};

const files = {
  'policy/authz.rego':
    'package envoy.authz\n\nimport data.lib.roles\n\nallow if roles.is_admin(input.user)\n\nreason := "x"\n',
  'policy/authz_test.rego': 'package envoy.authz_test\n\ntest_nothing if 1 == 1\n',
  'policy/lib/roles.rego': 'package lib.roles\n\nis_admin(user) if user in data.people.admins\n',
  'policy/people/data.json': '{"admins": ["ann"]}',
  'policy/people/more/data.yaml': 'count: 2\n',
};

const build = (folder: string, ...args: readonly string[]): Promise<Ran> =>
  postern(['bundle', 'build', ...args], { cwd: folder });

type Built = BundleReport & { readonly output: string; readonly bytes: number; readonly sha256: string };
async function built(folder: string, ...args: readonly string[]): Promise<Built> {
  const { code, stdout, stderr } = await build(folder, '--format', 'json', ...args);
  assert.equal(code, 0, `${stderr}${stdout}`);
  return JSON.parse(stdout) as Built;
}

const entries = (archive: string): readonly string[] =>
  execFileSync('tar', ['-tzPf', archive]).toString().trim().split('\n').sort();

/** Compiles one Rego text. */
async function buildText(rego: string, ...args: readonly string[]): Promise<Ran & { readonly folder: string }> {
  const folder = newFolder();
  writeFileSync(join(folder, 'p.rego'), rego);
  return { ...(await build(folder, '-r', 'r', ...args, 'p.rego')), folder };
}

describe('postern bundle build', () => {
  test('makes a bundle with its sources and data, which opa reads and Postern serves', async () => {
    const folder = newFolder();
    const commit = createRepository(folder, files);
    const report = await built(folder, 'policy', '-o', 'b.tar.gz');
    const { revision, roots, sources, problems, modules, output, bytes } = report;
    assert.deepEqual([revision, roots, problems, output], [commit, [''], [], 'b.tar.gz']);
    assert.deepEqual(sources, ['authz.rego', 'lib/roles.rego']);
    assert.deepEqual(
      modules.map(({ entrypoints }) => entrypoints),
      [['envoy/authz/allow']],
    );
    const archive = readFileSync(join(folder, 'b.tar.gz'));
    assert.equal(archive.length, bytes);

    const inspected = await opa(['inspect', '-f', 'json', 'b.tar.gz'], { cwd: folder });
    const { manifest, namespaces } = JSON.parse(inspected.stdout) as {
      readonly manifest: { readonly revision: string; readonly wasm: readonly object[] };
      readonly namespaces: object;
    };
    assert.deepEqual(
      [manifest.revision, manifest.wasm],
      [commit, [{ entrypoint: 'envoy/authz/allow', module: '/policy.wasm' }]],
    );
    assert.deepEqual(Object.keys(namespaces).sort(), [
      'data',
      'data.envoy.authz',
      'data.envoy.authz.allow',
      'data.lib.roles',
    ]);

    const request = join(folder, 'request.json');
    writeFileSync(request, JSON.stringify({ attributes: { request: { http: { method: 'GET', path: '/' } } } }));
    const asked = await postern(['check', '-b', join(folder, 'b.tar.gz'), '-r', request, '--expect', 'deny']);
    assert.equal(asked.code, 0, asked.stderr);
  });

  test('opa takes the decision out of the Rego, and the bundle has it all the same, where opa does not mind', async () => {
    const folder = newFolder();
    createRepository(folder, files);
    const { sources } = await built(folder, 'policy', '-o', 'b.tar.gz');
    assert.deepEqual(sources, ['authz.rego', 'lib/roles.rego']);
    assert.deepEqual(entries(join(folder, 'b.tar.gz')), [
      ...['/.manifest', '/.sources/authz.rego.txt', '/authz.rego', '/data.json', '/lib/roles.rego', '/policy.wasm'],
    ]);
    const unpacked = join(folder, 'unpacked');
    mkdirSync(unpacked);
    const parts = ['--exclude=*policy.wasm', '--exclude=*.manifest'];
    execFileSync('tar', ['-xzf', '../b.tar.gz', ...parts], { cwd: unpacked, stdio: 'pipe' });
    const input = join(folder, 'input.json');
    const decide = async (user: string): Promise<string> => {
      writeFileSync(input, JSON.stringify({ user }));
      return (await opa(['eval', '-b', unpacked, '-i', input, '-f', 'raw', 'data.envoy.authz.allow'])).stdout.trim();
    };
    assert.equal(await decide('ann'), '', 'opa keeps the rule; then there is no need for a second copy of it');
    assert.equal(readFileSync(join(unpacked, '.sources/authz.rego.txt'), 'utf8'), files['policy/authz.rego']);
    cpSync(join(unpacked, '.sources/authz.rego.txt'), join(unpacked, 'authz.rego'));
    assert.deepEqual([await decide('ann'), await decide('eve')], ['true', '']);
    // What opa builds from the bundle again is what it built from the sources.
    const again = ['build', '-t', 'wasm', '-e', 'envoy/authz/allow', '-b', 'unpacked', '-o', 'again.tar.gz'];
    assert.equal((await opa(again, { cwd: folder })).code, 0);
  });

  test('the same sources make the same bytes, wherever they are and whenever they were written', async () => {
    const [here, there] = [newFolder(), join(newFolder(), 'somewhere else')];
    writeTexts(here, files);
    mkdirSync(there);
    cpSync(join(here, 'policy'), join(there, 'other name'), { recursive: true });
    for (const name of readdirSync(there, { recursive: true, encoding: 'utf8' })) {
      utimesSync(join(there, name), 1_000_000, 1_000_000);
    }
    const first = await built(here, 'policy', '-r', '1', '-o', 'b.tar.gz');
    const again = await built(join(here, 'policy', 'lib'), '..', '-r', '1', '-o', '../../b2.tar.gz');
    const elsewhere = await built(here, join(there, 'other name'), '-r', '1', '-o', 'b3.tar.gz');
    assert.deepEqual([again.sha256, elsewhere.sha256], [first.sha256, first.sha256]);
    const bytes = readFileSync(join(here, 'b.tar.gz'));
    assert.deepEqual(readFileSync(join(here, 'b3.tar.gz')), bytes);
    assert.equal(bytes.readUInt32LE(4), 0, 'a time in the gzip header');
    const listing = execFileSync('tar', ['-tvzPf', join(here, 'b.tar.gz')], { env: { TZ: 'UTC' } }).toString();
    assert.equal(listing.match(/1970-01-01 00:00/g)?.length, entries(join(here, 'b.tar.gz')).length);
    assert.doesNotMatch(bytes.toString('latin1') + listing, /other name|postern-test/);
    // Several paths: what they are called from where they meet.
    await built(here, 'policy/authz.rego', 'policy/lib', 'policy/people/data.json', '-r', '1', '-o', 'b4.tar.gz');
    assert.deepEqual(
      entries(join(here, 'b4.tar.gz')).filter((name) => name.endsWith('.rego')),
      ['/authz.rego', '/lib/roles.rego'],
    );
  });

  test('the revision is the commit, and says when the tree or the sources are not it', async () => {
    const folder = newFolder();
    const commit = createRepository(folder, { ...files, '.gitignore': '*.secret.json\n', 'README.md': 'a' });
    git(folder, 'tag', 'v1');
    const revisionOf = async (...args: readonly string[]): Promise<string> =>
      (await built(folder, 'policy', ...args)).revision;
    assert.equal(await revisionOf(), commit);
    assert.equal(await revisionOf(), commit, 'what was built before is no change');
    writeTexts(folder, { 'notes.rego': 'elsewhere', 'policy/notes.txt': 'no source' });
    utimesSync(join(folder, 'policy/authz.rego'), 1_000_000, 1_000_000);
    assert.equal(await revisionOf(), commit);
    writeTexts(folder, { 'policy/extra.rego': 'package extra\n' });
    assert.equal(await revisionOf(), `${commit}-dirty`, 'a source that git does not know');
    rmSync(join(folder, 'policy/extra.rego'));
    writeTexts(folder, { 'README.md': 'b' });
    assert.equal(await revisionOf(), `${commit}-dirty`, 'a change of what git knows');
    assert.equal(await revisionOf('-r', 'v2'), 'v2');
    // As in a hook of another repository.
    const other = newFolder();
    createRepository(other, { a: 'a' });
    git(folder, 'checkout', '-q', '--', '.');
    const env = { GIT_DIR: join(other, '.git'), GIT_WORK_TREE: other };
    const hooked = await postern(['bundle', 'build', 'policy'], { cwd: folder, env });
    assert.match(hooked.stdout, new RegExp(`revision: +${commit}\n`));
  });

  test('without git, or a repository, or a commit, a revision has to be given', async () => {
    const folder = newFolder();
    writeTexts(folder, files);
    const outside = { GIT_CEILING_DIRECTORIES: scratch };
    const none = await postern(['bundle', 'build', 'policy'], { cwd: folder, env: outside });
    assert.equal(none.code, 2);
    assert.match(
      none.stderr,
      /^postern: git gives no revision \(fatal: not a git repository.*\); give one with --revision\n$/,
    );
    const noGit = await postern(['bundle', 'build', 'policy'], {
      cwd: folder,
      env: { PATH: `${dirname(tool('opa'))}${delimiter}${toolsWithoutGit()}` },
    });
    assert.deepEqual([noGit.code, /there is no git on the PATH/.test(noGit.stderr)], [2, true], noGit.stderr);
    git(folder, 'init', '-q');
    const empty = await build(folder, 'policy');
    assert.deepEqual([empty.code, /give one with --revision/.test(empty.stderr)], [2, true], empty.stderr);
    assert.ok(!existsSync(join(folder, 'bundle.tar.gz')));
  });

  test('a manifest in a folder counts: its roots are those of the bundle', async () => {
    const folder = newFolder();
    writeTexts(folder, {
      ...files,
      'policy/.manifest': '{"roots": ["envoy", "lib", "people"], "metadata": {"team": "a"}}',
    });
    const report = await built(folder, 'policy', '-r', '1');
    assert.deepEqual([report.roots, report.metadata], [['envoy', 'lib', 'people'], { team: 'a' }]);
    writeTexts(folder, { 'policy/.manifest': '{"roots": ["envoy"]}' });
    const outside = await build(folder, 'policy', '-r', '1');
    assert.equal(outside.code, 1);
    assert.match(outside.stderr, /opa build failed: .*manifest roots/);
  });

  test('entrypoints, ignored files and capabilities are those of opa', async () => {
    const folder = newFolder();
    writeTexts(folder, { ...files, 'policy/broken.rego': 'package' });
    const ignoring = ['policy', '--ignore', 'broken.rego', '-r', '1'];
    const { modules } = await built(folder, ...ignoring, '-e', 'envoy/authz/allow', '-e', 'envoy/authz/reason');
    assert.deepEqual(modules[0]?.entrypoints, ['envoy/authz/allow', 'envoy/authz/reason']);
    const configured = await built(
      folder,
      ...ignoring,
      '--set',
      'plugins.envoy_ext_authz_grpc.path=envoy/authz/reason',
    );
    assert.deepEqual(configured.modules[0]?.entrypoints, ['envoy/authz/reason']);

    const capabilities = JSON.parse((await opa(['capabilities', '--current'])).stdout) as {
      readonly builtins: readonly { readonly name: string }[];
    };
    const fewer = { ...capabilities, builtins: capabilities.builtins.filter(({ name }) => name !== 'http.send') };
    const { code, stderr } = await (async () => {
      const text =
        'package envoy.authz\n\nallow if http.send({"method": "GET", "url": "http://a/"}).status_code == 200\n';
      const policy = newFolder();
      writeTexts(policy, { 'p.rego': text, 'capabilities.json': JSON.stringify(fewer) });
      return build(policy, '-r', '1', '--capabilities', 'capabilities.json', 'p.rego');
    })();
    assert.equal(code, 1);
    assert.match(stderr, /undefined function http\.send/);
  });

  test('what could not serve is not written', async () => {
    const parser = await buildText('package envoy.authz\n\nallow if rego.parse_module("a.rego", input.text)\n');
    assert.equal(parser.code, 1);
    assert.match(parser.stdout, /problem: .*rego\.parse_module[\s\S]*it cannot serve\n$/);
    assert.equal(parser.stderr, 'postern: bundle.tar.gz was not written: the bundle could not serve\n');
    assert.ok(!existsSync(join(parser.folder, 'bundle.tar.gz')));

    const network =
      'package envoy.authz\n\nallow if http.send({"method": "GET", "url": "http://a/"}).status_code == 200\n';
    const config = join(newFolder(), 'config.yaml');
    writeFileSync(config, 'postern: { http_send: { allow_hosts: [a] } }');
    assert.equal((await buildText(network)).code, 1);
    assert.equal((await buildText(network, '-c', config)).code, 0);

    const other = await buildText('package other\n\nallow := true\n', '-e', 'other/allow', '--format', 'json');
    assert.equal(other.code, 1);
    assert.match(
      (JSON.parse(other.stdout) as BundleReport).problems.join(),
      /no entrypoint serves envoy\/authz\/allow/,
    );
    assert.deepEqual(readdirSync(other.folder), ['p.rego']);
  });

  test('what opa refuses is told in its words, and keeps the bundle that was there', async () => {
    const folder = newFolder();
    writeTexts(folder, { 'p.rego': 'package envoy.authz\n\nallow if undefined_thing(1)\n', 'bundle.tar.gz': 'old' });
    const { code, stdout, stderr } = await build(folder, '-r', '1', 'p.rego');
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(
      stderr,
      /^postern: opa build failed: .*p\.rego:3: rego_type_error: undefined function undefined_thing\n$/,
    );
    assert.equal(readFileSync(join(folder, 'bundle.tar.gz'), 'utf8'), 'old');
    assert.deepEqual(readdirSync(folder).sort(), ['bundle.tar.gz', 'p.rego']);
  });

  test('says what it lacks, with exit code 2', async () => {
    const folder = newFolder();
    writeTexts(folder, files);
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['bundle', 'build'], /missing required argument 'paths'/],
      [['bundle', 'build', '-r', '1', 'nowhere'], /nowhere/],
      [['bundle', 'build', '-r', '1', '-o', 'no/such/folder/b.tar.gz', 'policy'], /no such file or directory/],
      [['bundle', 'build', '-r', '1', 'policy', '--unknown'], /unknown option '--unknown'/],
      [['bundle', 'build', '-r', '1', 'policy', '--set', 'postern.paths=odd'], /postern\.paths/],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await postern(args, { cwd: folder });
      assert.equal(code, 2, args.join(' '));
      assert.match(stderr, message);
    }
    const noOpa = await postern(['bundle', 'build', '-r', "it's 1", 'policy'], {
      cwd: folder,
      env: { PATH: toolsWithoutGit() },
    });
    assert.equal(noOpa.code, 2);
    const [, command = ''] = /there is none on the PATH; run `(.*)`\n$/.exec(noOpa.stderr) ?? [];
    assert.ok(command.startsWith('opa build -t wasm -e envoy/authz/allow '), noOpa.stderr);
    // The command is one that a shell takes.
    const env = { PATH: `${dirname(tool('opa'))}${delimiter}${process.env['PATH'] ?? ''}` };
    assert.equal((await runFile('sh', ['-c', command], { cwd: folder, env })).code, 0);
    assert.match(
      (await postern(['bundle', 'inspect', 'bundle.tar.gz'], { cwd: folder })).stdout,
      /revision: +it's 1\n/,
    );
  });

  test('run compiles sources from whatever folder it is started in', async () => {
    const folder = newFolder();
    writeTexts(folder, { ...files, 'request.json': '{"attributes": {"request": {"http": {"path": "/"}}}}' });
    const started = join(folder, 'elsewhere');
    mkdirSync(started);
    const args = ['check', '-b', '../policy', '-r', '../request.json', '--expect', 'deny'];
    const { code, stderr, stdout } = await postern(args, { cwd: started });
    assert.equal(code, 0, `${stdout}${stderr}`);
  });
});

/** The tools that bin/postern is made with, without git and opa: a folder of links. */
function toolsWithoutGit(): string {
  const folder = join(scratch, 'tools');
  if (!existsSync(folder)) {
    mkdirSync(folder);
    for (const name of [
      'sh',
      'dirname',
      'readlink',
      'uname',
      'sed',
      'cut',
      'cat',
      'grep',
      'tr',
      'head',
      'node',
      'npm',
    ]) {
      const found = (process.env['PATH'] ?? '').split(delimiter).find((path) => existsSync(join(path, name)));
      if (found !== undefined) execFileSync('ln', ['-s', join(found, name), join(folder, name)]);
    }
  }
  return folder;
}
