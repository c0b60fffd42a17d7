import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Child, eventually, freePorts, root, startProcess, tool } from './process.ts';
import type { Scope } from './scope.ts';

/** A folder that is removed when the test is over. */
export function scratchFolder(context: Scope | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  context?.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export type BuildOptions = {
  readonly entrypoint?: string;
  /** Beside it. */
  readonly otherEntrypoints?: readonly string[];
  readonly revision?: string;
};

/** A bundle made by `opa build -t wasm` from Rego files and folders. Returns its file. */
export function buildBundle(sources: readonly string[], output: string, options: BuildOptions = {}): string {
  const { entrypoint = 'envoy/authz/allow', otherEntrypoints = [], revision = 'r1' } = options;
  const entrypoints = [entrypoint, ...otherEntrypoints].flatMap((path) => ['-e', path]);
  const args = ['build', '-t', 'wasm', ...entrypoints, '-r', revision, '--ignore', '*_test.rego', '-o', output];
  execFileSync(tool('opa'), [...args, ...sources], { stdio: 'pipe' });
  return output;
}

/** The same, from Rego text. */
export function buildPolicy(rego: string, folder: string, name = 'bundle', options: BuildOptions = {}): string {
  const source = join(folder, `${name}.rego`);
  writeFileSync(source, rego);
  return buildBundle([source], join(folder, `${name}.tar.gz`), options);
}

export type Tree = { readonly [key: string]: unknown };

/** One tree over another. */
export function merge(base: Tree, over: Tree): Tree {
  const isTree = (value: unknown): value is Tree =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  return Object.fromEntries(
    [...new Set([...Object.keys(base), ...Object.keys(over)])].map((key) => {
      const [below, above] = [base[key], over[key]];
      if (isTree(below) && isTree(above)) return [key, merge(below, above)];
      return [key, key in over ? above : below];
    }),
  );
}

export type Server = Child & {
  /** ext_authz gRPC. */
  readonly grpc: string;
  readonly api: string;
  readonly diagnostic: string;
};

export type StartOptions = {
  readonly config?: Tree;
  readonly args?: readonly string[];
  readonly folder: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Wait until it says that it is ready; true unless told otherwise. */
  readonly untilReady?: boolean;
  /** What starts it, instead of its own program. */
  readonly program?: string;
};

/** Postern as its users start it, on free ports of the loopback interface. */
export const startPostern = (context: Scope | undefined, options: StartOptions): Promise<Server> =>
  start(context, options.program ?? join(root, 'bin/postern'), '/health/ready', options, {
    // A busy machine must not turn a test of something else into one of deadlines or overload.
    postern: {
      drain: { delay_seconds: 0 },
      evaluation: { budget_ms: 10_000 },
      limits: { overload: { max_delay_ms: 10_000 } },
    },
  });

/** The reference peer, given its binary. */
export const startPeer = (context: Scope | undefined, binary: string, options: StartOptions): Promise<Server> =>
  start(context, binary, '/health?plugins&bundles', options, {});

async function start(
  context: Scope | undefined,
  file: string,
  readiness: string,
  options: StartOptions,
  defaults: Tree,
): Promise<Server> {
  const [grpcPort = 0, apiPort = 0, diagnosticPort = 0] = await freePorts(3);
  const [grpc, api, diagnostic] = [grpcPort, apiPort, diagnosticPort].map((port) => `127.0.0.1:${port}`) as [
    string,
    string,
    string,
  ];
  const config = merge(
    merge(defaults, { plugins: { envoy_ext_authz_grpc: { addr: grpc, path: 'envoy/authz/allow' } } }),
    options.config ?? {},
  );
  const configFile = join(options.folder, `config-${grpcPort}.yaml`);
  writeFileSync(configFile, stringify(config));
  const child = startProcess(
    context,
    file,
    [
      'run',
      '--server',
      '--config-file',
      configFile,
      '--addr',
      api,
      '--diagnostic-addr',
      diagnostic,
      ...(options.args ?? []),
    ],
    options.env === undefined ? {} : { env: options.env },
  );
  const expected = options.untilReady === false ? '/health/live' : readiness;
  await Promise.race([
    eventually(async () => ((await fetch(`http://${diagnostic}${expected}`)).ok ? true : undefined)),
    child.exited.then((code) => {
      throw new Error(`${file} ended with ${code}:\n${child.stdout()}${child.stderr()}`);
    }),
  ]);
  // The ext_authz listener opens last.
  if (options.untilReady === false) await child.printed('Postern is serving.');
  return { ...child, grpc, api, diagnostic };
}
