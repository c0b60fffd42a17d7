import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parse } from 'yaml';
import { opa, pathWithOpa, type Ran, runFile } from '../support/command.ts';
import { eventually, root } from '../support/process.ts';
import { createRepository, git } from '../support/repository.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder, startPostern } from '../support/servers.ts';
import { serve } from '../support/web.ts';

const suite = createScope();
after(suite.close);
const text = readFileSync(join(root, 'docs/ci.md'), 'utf8');

/** The code of a section. */
function blockOf(heading: string, language: string): string {
  const section = text.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const [, block] = new RegExp(`\n\`\`\`${language}\n([\\s\\S]*?)\n\`\`\``).exec(section) ?? [];
  assert.ok(block !== undefined, `docs/ci.md: ${heading}`);
  return block;
}

const keys = blockOf('Keys, once', 'sh');
const pipeline = blockOf('In a shell', 'sh');
const token = 'ci-secret-token';

/** A bundle server that keeps what is put, for whoever has the token. */
async function startStore(): Promise<{ readonly origin: string; readonly stored: () => Buffer | undefined }> {
  let stored: Buffer | undefined;
  const origin = await serve(suite, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const isAllowed = request.headers.authorization === `Bearer ${token}` && request.url === '/bundles/authz.tar.gz';
      if (isAllowed && request.method === 'PUT') stored = Buffer.concat(chunks);
      const status = !isAllowed ? 401 : request.method === 'PUT' ? 201 : stored === undefined ? 404 : 200;
      response.writeHead(status).end(status === 200 ? stored : undefined);
    });
  });
  return { origin, stored: () => stored };
}

/** A repository with the default policy, and what the pipeline has beside it. */
async function prepare(): Promise<{
  readonly folder: string;
  /** The lines of the key. */
  readonly secret: readonly string[];
  readonly run: (block: string, url: string) => Promise<Ran>;
}> {
  const folder = scratchFolder(suite);
  const secrets = scratchFolder(suite);
  const path = `${join(root, 'bin')}${delimiter}${pathWithOpa()}`;
  const run = (block: string, url: string): Promise<Ran> => {
    const files = { SIGNING_KEY_FILE: join(secrets, 'signing-key.pem'), TOKEN_FILE: join(secrets, 'token') };
    return runFile('sh', ['-c', block], { cwd: folder, env: { PATH: path, BUNDLE_URL: url, ...files } });
  };
  writeFileSync(join(secrets, 'token'), `${token}\n`);
  const made = await runFile('sh', ['-ec', keys], { cwd: secrets });
  assert.equal(made.code, 0, made.stderr);
  cpSync(join(root, 'policies'), join(folder, 'policies'), { recursive: true });
  cpSync(join(secrets, 'ci.pub.pem'), join(folder, 'ci.pub.pem'));
  createRepository(folder, { 'README.md': 'policies' });
  const lines = readFileSync(join(secrets, 'signing-key.pem'), 'utf8').split('\n');
  const secret = lines.filter((line) => /^[A-Za-z0-9+/=]{20,}$/.test(line));
  assert.ok(secret.length > 1);
  return { folder, secret, run };
}

describe('the pipeline of docs/ci.md', () => {
  test('publishes a bundle that OPA verifies and Postern serves', async (context) => {
    const { folder, secret, run } = await prepare();
    const { origin, stored } = await startStore();
    const { code, stdout, stderr } = await run(pipeline, `${origin}/bundles/authz.tar.gz`);
    assert.equal(code, 0, stdout + stderr);
    assert.ok(![token, ...secret].some((each) => (stdout + stderr).includes(each)));
    assert.deepEqual(stored(), readFileSync(join(folder, 'authz.tar.gz')));

    const verifying = ['--verification-key', 'ci.pub.pem', '--signing-alg', 'ES256', '--verification-key-id', 'ci'];
    const byOpa = await opa(['build', '-b', 'authz.tar.gz', '-o', 'opa.tar.gz', ...verifying], { cwd: folder });
    assert.equal(byOpa.code, 0, byOpa.stdout + byOpa.stderr);

    const key = { key: readFileSync(join(folder, 'ci.pub.pem'), 'utf8'), algorithm: 'ES256' };
    const config = {
      keys: { ci: key },
      services: { ci: { url: origin, credentials: { bearer: { token } } } },
      bundles: { authz: { service: 'ci', resource: 'bundles/authz.tar.gz', signing: { keyid: 'ci' } } },
    };
    const server = await startPostern(context, { folder, config });
    const commit = git(folder, 'rev-parse', 'HEAD');
    await eventually(async () => {
      const status = await (await fetch(`http://${server.api}/v1/status`)).text();
      return status.includes(`"active_revision":"${commit}"`) ? true : undefined;
    });
  });

  test('stops at the step that fails, and publishes nothing', async () => {
    const { folder, run } = await prepare();
    const { origin, stored } = await startStore();
    const rule = join(folder, 'policies/envoy/authz/authz.rego');
    const policy = readFileSync(rule, 'utf8');
    const attempt = async (change: () => void, message: RegExp): Promise<void> => {
      change();
      const { code, stdout, stderr } = await run(pipeline, `${origin}/bundles/authz.tar.gz`);
      assert.notEqual(code, 0, String(message));
      assert.match(stdout + stderr, message);
      assert.equal(stored(), undefined);
      writeFileSync(rule, policy);
    };
    await attempt(() => writeFileSync(rule, `${policy}\n\n\n`), /authz\.rego/);
    await attempt(
      () => writeFileSync(rule, policy.replace('count(grants) > 0', 'count(grants) >= 0')),
      /\n(?:FAIL|ERROR): \d+\/\d+\n/,
    );
    const other = execFileSync('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], {
      stdio: 'pipe',
    });
    const publicKey = execFileSync('openssl', ['pkey', '-pubout'], { input: other, stdio: ['pipe', 'pipe', 'pipe'] });
    await attempt(() => writeFileSync(join(folder, 'ci.pub.pem'), publicKey), /the signature is not by the key/);
  });

  test('is that of the GitHub Actions example, step by step', () => {
    const workflow = parse(blockOf('GitHub Actions', 'yaml')) as {
      readonly jobs: { readonly publish: { readonly steps: readonly { readonly run?: string }[] } };
    };
    const commands = (lines: string): readonly string[] =>
      lines
        .split('\n')
        .map((line) => line.replace(/ +# .*$/, ''))
        .filter((line) => /^(?:opa|postern) /.test(line));
    const run = workflow.jobs.publish.steps.map((step) => step.run ?? '').join('\n');
    assert.deepEqual(commands(run), commands(pipeline));
    assert.equal(commands(pipeline).length, 8);
  });
});
