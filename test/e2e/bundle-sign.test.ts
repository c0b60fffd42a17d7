import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { BundleReport, SignatureReport } from '../../src/cli/bundle/ports.ts';
import { type SignatureAlgorithm, signatureAlgorithms } from '../../src/lib/public-key.ts';
import { bundleOf } from '../support/archive.ts';
import { opa, postern, type Ran } from '../support/command.ts';
import { eventually, freePorts, startProcess, tool } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, scratchFolder, startPostern } from '../support/servers.ts';
import { keyPairFor, privatePem, publicPem, signWithOpa, writeFiles } from '../support/signing.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const at = (name: string): string => join(folder, name);

const bundle = buildPolicy('package envoy.authz\n\nallow := true\n', folder);
for (const algorithm of signatureAlgorithms) {
  writeFileSync(at(`${algorithm}.pem`), privatePem(keyPairFor(algorithm)));
  writeFileSync(at(`${algorithm}.pub`), publicPem(keyPairFor(algorithm)));
}

const sign = (...args: readonly string[]): Promise<Ran> => postern(['bundle', 'sign', ...args], { cwd: folder });
const verify = (...args: readonly string[]): Promise<Ran> => postern(['bundle', 'verify', ...args], { cwd: folder });

/** Signs with RS256 unless told otherwise, and gives what was written. */
async function signed(output: string, ...args: readonly string[]): Promise<string> {
  const { code, stderr } = await sign('--key', 'RS256.pem', '-o', output, ...(args.length === 0 ? [bundle] : args));
  assert.equal(code, 0, stderr);
  return at(output);
}

const opaVerifies = (file: string, algorithm: SignatureAlgorithm, ...args: readonly string[]): Promise<Ran> =>
  opa(
    [
      ...['build', '-b', file, '-o', 'opa.tar.gz', '--signing-alg', algorithm],
      ...['--verification-key', `${algorithm}.pub`, ...args],
    ],
    { cwd: folder },
  );

/** A bundle in which one file is another. */
function changed(file: string, name: string, change: (content: Buffer) => string | Buffer): string {
  const entries = execFileSync('tar', ['-tzPf', file]).toString().trim().split('\n');
  const contents = entries.map((entry) => {
    const content = execFileSync('tar', ['-xzPOf', file, entry]);
    return { name: entry, content: entry === `/${name}` ? change(content) : content };
  });
  writeFileSync(at('changed.tar.gz'), bundleOf(contents));
  return 'changed.tar.gz';
}

describe('postern bundle sign and verify', () => {
  test('with every algorithm, OPA and Postern accept what was signed, and no other key', async () => {
    for (const algorithm of signatureAlgorithms) {
      const args = ['--key', `${algorithm}.pem`, '--alg', algorithm, '--key-id', 'ci', '-o', 'signed.tar.gz', bundle];
      const { code, stdout, stderr } = await sign(...args, '--scope', 'prod', '--iss', 'builder', '--format', 'json');
      assert.equal(code, 0, stderr);
      const { signature } = JSON.parse(stdout) as { readonly signature: SignatureReport };
      const { issuedAt = 0, ...rest } = signature;
      const expected = { keyId: 'ci', algorithm, issuer: 'builder', scope: 'prod', files: 4, verified: true };
      assert.deepEqual(rest, expected);
      assert.ok(Math.abs(Date.now() / 1000 - issuedAt) < 60, `issued at ${issuedAt}`);

      const byOpa = await opaVerifies('signed.tar.gz', algorithm, '--scope', 'prod');
      assert.equal(byOpa.code, 0, `${algorithm}: ${byOpa.stdout}${byOpa.stderr}`);
      const own = ['--key', `${algorithm}.pub`, '--alg', algorithm, '--scope', 'prod', 'signed.tar.gz'];
      const verified = await verify(...own, '--key-id', 'ci', '--format', 'json');
      assert.equal(verified.code, 0, verified.stderr);
      assert.deepEqual(JSON.parse(verified.stdout), { revision: 'r1', signature });
    }
    assert.equal((await opaVerifies('signed.tar.gz', 'EdDSA', '--scope', 'other')).code, 1);
  });

  test('what opa has signed is verified, with excluded files as opa has them', async () => {
    const files = { '.manifest': '{"revision": "o"}', 'data.json': '{"a": 1.10, "b": "<é>"}', 'p.rego': 'package p\n' };
    mkdirSync(at('opa-signed'));
    const claims = { scope: 'prod', keyid: 'theirs', iat: 1_700_000_000 };
    const withSignature = signWithOpa(at('opa-signed'), { ...files, 'policy.wasm': 'x' }, 'ES256', claims);
    const archive = (more: { readonly [name: string]: string }): void =>
      writeFileSync(
        at('theirs.tar.gz'),
        bundleOf(Object.entries({ ...withSignature, ...more }).map(([name, content]) => ({ name, content }))),
      );
    archive({});
    const key = ['--key', 'ES256.pub', '--alg', 'ES256', '--scope', 'prod'];
    const { code, stdout, stderr } = await verify(...key, '--key-id', 'theirs', 'theirs.tar.gz');
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^revision: +o\nsignature: +key theirs, ES256, issued 2023-11-14T22:13:20Z, scope prod, 4 files, verified\n$/,
    );
    archive({ 'logs/a.txt': 'new' });
    assert.match((await verify(...key, 'theirs.tar.gz')).stderr, /logs\/a\.txt is not listed/);
    assert.equal((await verify(...key, '--exclude-files', 'logs/*', 'theirs.tar.gz')).code, 0);
  });

  test('a folder is signed as an archive is; OPA serves it, and an older signature is replaced', async () => {
    const unpacked = at('unpacked');
    writeFiles(unpacked, {
      '.manifest': '{"revision": "f", "roots": ["envoy"]}',
      'envoy/authz.rego': 'package envoy.authz\n\nallow := true\n',
      '.sources/envoy/authz.rego.txt': 'package envoy.authz\n\n# The original.\nallow := true\n',
      'README.md': 'no part of a bundle',
    });
    await signed('first.tar.gz', 'unpacked');
    await signed('second.tar.gz', '--key-id', 'two', 'first.tar.gz');
    const names = execFileSync('tar', ['-tzPf', at('second.tar.gz')])
      .toString()
      .trim()
      .split('\n');
    assert.deepEqual(names, ['/.manifest', '/.signatures.json', '/.sources/envoy/authz.rego.txt', '/envoy/authz.rego']);
    const { signatures } = JSON.parse(
      execFileSync('tar', ['-xzPOf', at('second.tar.gz'), '/.signatures.json']).toString(),
    ) as { readonly signatures: readonly string[] };
    assert.equal(signatures.length, 1);

    const [port = 0] = await freePorts(1);
    const address = `127.0.0.1:${port}`;
    const flags = ['--verification-key', at('RS256.pub'), '--disable-telemetry', '--log-level', 'error'];
    const server = startProcess(suite, tool('opa'), [
      'run',
      '-s',
      '--addr',
      address,
      ...flags,
      '-b',
      at('second.tar.gz'),
    ]);
    const answer = await Promise.race([
      eventually(async () => (await fetch(`http://${address}/v1/data/envoy/authz/allow`)).json()),
      server.exited.then((code) => assert.fail(`opa ended with ${code}: ${server.stderr()}`)),
    ]);
    assert.deepEqual(answer, { result: true });
    await server.stop();
    // The folder, with the signature in it, is that bundle too.
    execFileSync('tar', ['-xzf', '../second.tar.gz'], { cwd: unpacked, stdio: 'pipe' });
    assert.match((await verify('--key', 'RS256.pub', 'unpacked')).stderr, /README\.md is not listed/);
  });

  test('Postern serves what was signed where signatures are required', async (context) => {
    await signed('served.tar.gz', '--key-id', 'ci', bundle);
    const config = {
      keys: { ci: { key: publicPem(keyPairFor('RS256')), algorithm: 'RS256' } },
      bundles: { main: { resource: `file://${at('served.tar.gz')}`, signing: { keyid: 'ci' } } },
    };
    const server = await startPostern(context, { folder, config });
    const answer = await fetch(`http://${server.api}/v1/data/envoy/authz/allow`, {
      method: 'POST',
      body: '{"input": {}}',
    });
    assert.equal(((await answer.json()) as { readonly result?: unknown }).result, true);
  });

  test('what is not as it was signed is refused, with exit code 1', async () => {
    const file = await signed('good.tar.gz', '--key-id', 'ci', bundle);
    const key = ['--key', 'RS256.pub'];
    assert.equal((await verify(...key, file)).code, 0);
    const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
      ['another key', ['--key', 'other.pub', file], /the signature is not by the key/],
      ['another scope', [...key, '--scope', 'prod', file], /scope is "", and "prod" is expected/],
      ['another key id', [...key, '--key-id', 'cd', file], /calls its key ci, not cd/],
      ['another algorithm', [...key, '--alg', 'PS256', file], /algorithm is not PS256/],
      ['no signature', [...key, bundle], /the bundle is not signed/],
      ['no bundle', [...key, 'RS256.pub'], /the archive has no end/],
      [
        'a changed module',
        [...key, changed(file, 'policy.wasm', (wasm) => Buffer.concat([wasm, wasm]))],
        /policy\.wasm is not what was signed/,
      ],
    ];
    writeFileSync(at('other.pub'), publicPem(keyPairFor('RS256', 'b')));
    for (const [name, args, message] of cases) {
      const { code, stdout, stderr } = await verify(...args);
      assert.deepEqual([name, code, stdout], [name, 1, '']);
      assert.match(stderr, message, name);
    }
    // Spaces in documents mean nothing, values do.
    const spaced = changed(file, '.manifest', (manifest) => JSON.stringify(JSON.parse(manifest.toString()), null, 2));
    assert.equal((await verify(...key, spaced)).code, 0);
    const revised = changed(file, '.manifest', (manifest) => manifest.toString().replace('"r1"', '"r2"'));
    assert.match((await verify(...key, revised)).stderr, /\.manifest is not what was signed/);
  });

  test('inspect shows a signature, verified where the configuration has keys', async () => {
    const file = await signed('shown.tar.gz', '--key-id', 'ci', '--scope', 'prod', '--iss', 'a\u001b[31mb', bundle);
    const inspect = (...args: readonly string[]): Promise<Ran> => postern(['bundle', 'inspect', file, ...args]);
    const plain = await inspect();
    assert.equal(plain.code, 0);
    assert.match(
      plain.stdout,
      /signature: +key ci, RS256, issued .*Z, by a\\u\{001b\}\[31mb, scope prod, 4 files, not verified\n/,
    );
    const configure = (pem: string): readonly string[] => {
      writeFileSync(at('keys.yaml'), JSON.stringify({ keys: { ci: { key: pem, algorithm: 'RS256', scope: 'prod' } } }));
      return ['-c', at('keys.yaml'), '--format', 'json'];
    };
    const known = await inspect(...configure(publicPem(keyPairFor('RS256'))));
    assert.equal((JSON.parse(known.stdout) as BundleReport).signature?.verified, true);
    const other = await inspect(...configure(publicPem(keyPairFor('RS256', 'b'))));
    assert.equal(other.code, 1);
    assert.match((JSON.parse(other.stdout) as BundleReport).problems.join(), /not by the key ci/);
  });

  test('says what it lacks, with exit code 2, writes nothing, and never shows a key', async () => {
    const pem = privatePem(keyPairFor('RS256'));
    const secret = pem.split('\n')[5] ?? '';
    assert.ok(secret.length > 40);
    const encrypted = createPrivateKey(pem).export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'x',
    });
    writeFileSync(at('encrypted.pem'), encrypted);
    writeFileSync(at('broken.pem'), pem.replace(secret, secret.slice(4)));
    writeFileSync(at('small.pem'), execFileSync('openssl', ['genrsa', '1024'], { stdio: 'pipe' }));
    writeFileSync(at('text'), `just ${secret}`);
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [[bundle, '-o', 'x'], /required option '--key <file>'/],
      [[bundle, '--key', 'RS256.pem'], /required option '-o, --output <file>'/],
      [[bundle, '-o', 'x', '--key', pem], /--key: the name of a readable file is expected/],
      [
        [bundle, '-o', 'x', '--key', secret],
        /--key: the name of a readable file is expected \(there is no such file\)/,
      ],
      [[bundle, '-o', 'x', '--key', '.'], /--key: the name of a readable file is expected/],
      [[bundle, '-o', 'x', '--key', 'text'], /--key: no key in PEM/],
      [[bundle, '-o', 'x', '--key', 'RS256.pub'], /--key: no private key/],
      [[bundle, '-o', 'x', '--key', 'encrypted.pem'], /--key: a private key that is encrypted/],
      [[bundle, '-o', 'x', '--key', 'broken.pem'], /--key: a private key that cannot be read/],
      [[bundle, '-o', 'x', '--key', 'small.pem'], /--key: an RSA key of less than 2048 bits/],
      [[bundle, '-o', 'x', '--key', 'ES256.pem'], /--key: a key of type ec, and RS256 needs rsa/],
      [[bundle, '-o', 'x', '--key', 'ES384.pem', '--alg', 'ES256'], /--key: a key on the curve secp384r1/],
      [[bundle, '-o', 'x', '--key', 'RS256.pem', '--alg', 'HS256'], /Allowed choices are RS256/],
      [['nowhere', '-o', 'x', '--key', 'RS256.pem'], /nowhere/],
      [[bundle, '-o', 'no/x', '--key', 'RS256.pem'], /no such file or directory/],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await sign(...args);
      const name = args.slice(1).join(' ').slice(0, 60);
      assert.equal(code, 2, `${name}: ${stderr}`);
      assert.match(stderr, message, name);
      assert.ok(!(stdout + stderr).includes(secret), name);
    }
    const verifying = await verify('--key', 'RS256.pem', bundle);
    assert.deepEqual([verifying.code, /--key: a private key, where the public one/.test(verifying.stderr)], [2, true]);
    assert.equal((await verify('--key', 'RS256.pub', '--exclude-files', '[', bundle)).code, 2);
    assert.ok(!existsSync(at('x')) && !readdirSync(folder).some((name) => name.endsWith('.part')));
    // Nor does it get into what was signed.
    assert.ok(!readFileSync(await signed('clean.tar.gz')).includes(secret));
  });

  test('what cannot be signed is told, with exit code 1', async () => {
    for (const [names, message] of [
      [['patch.json'], /a delta cannot be signed/],
      [['a/.signatures.json', 'data.json'], /a\/\.signatures\.json: the signature must be at the top/],
      [['.signatures.json'], /there is nothing to sign/],
    ] as const) {
      writeFileSync(at('odd.tar.gz'), bundleOf(names.map((name) => ({ name, content: '{"data": []}' }))));
      const { code, stderr } = await sign('--key', 'RS256.pem', '-o', 'x', 'odd.tar.gz');
      assert.equal(code, 1, stderr);
      assert.match(stderr, message);
    }
    writeFileSync(at('odd.tar.gz'), bundleOf([{ name: 'data.json', content: '{"a": ' }]));
    assert.match((await sign('--key', 'RS256.pem', '-o', 'x', 'odd.tar.gz')).stderr, /data\.json is not JSON/);
  });
});
