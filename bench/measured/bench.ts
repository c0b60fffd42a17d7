import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, startProcess } from '../../test/support/process.ts';
import type { Scope } from '../../test/support/scope.ts';
import {
  buildBundle,
  type Server,
  type StartOptions,
  scratchFolder,
  startPeer,
  startPostern,
  type Tree,
} from '../../test/support/servers.ts';
import { type Generator, startGenerator } from '../load/generators.ts';
import { benchIssuer, type Callers, createCallers } from '../load/requests.ts';
import type { Row } from '../report/row.ts';

/*
 * What the measurements share: one load generator, one set of requests, and ways to start what is compared.
 */

/** Of a server that is measured: where it is, and its process. */
export type Measured = {
  readonly grpc: string;
  readonly pid: number;
  /** Undefined where there are no metrics. */
  readonly diagnostic?: string;
};

export type Bench = {
  readonly folder: string;
  readonly load: Generator;
  readonly callers: Callers;
  readonly isQuick: boolean;
  /** A full run's length, or a part of it when the run is to be quick. */
  readonly full: (full: number, quick: number) => number;
  /** The peer's binary, if there is one. */
  readonly peer: string | undefined;
  /** `postern.identity`: callers have to show a token of the bench's issuer. */
  readonly identity: Tree;
};

/** A group of measurements; servers that it starts end with its own scope. */
export type Group = (bench: Bench) => Promise<readonly Row[]>;

/** Names of the requests: as they are, and for a server that allows whatever it is asked. */
export const REQUESTS = 'requests';
export const ALL_ALLOWED = 'all allowed';
/** How many there are of them. */
export const COUNT = 5000;

export async function prepareBench(scope: Scope): Promise<Bench> {
  const folder = scratchFolder(scope);
  const load = startGenerator(scope);
  const callers = await createCallers();
  const requests = callers.requests(COUNT);
  load.give(REQUESTS, requests);
  load.give(
    ALL_ALLOWED,
    requests.map((request) => ({ ...request, isAllowed: true })),
  );
  const keys = join(folder, 'keys.json');
  writeFileSync(keys, JSON.stringify(callers.jwks));
  const isQuick = process.env['BENCH_QUICK'] === '1';
  const peer = process.env['PEER'];
  return {
    ...{ folder, load, callers, isQuick },
    full: (full, quick) => (isQuick ? quick : full),
    peer: peer === '' ? undefined : peer,
    identity: { required: true, issuers: [{ issuer: benchIssuer, jwks_file: keys }] },
  };
}

type Fixture = 'decode' | 'verified' | 'verify';

/** The folder of a policy; that which verifies tokens itself has the keys of this run beside it. */
export function policyFolder(bench: Bench, name: Fixture): string {
  const fixture = join(root, 'bench/fixtures', name);
  if (name !== 'verify') return fixture;
  const folder = join(bench.folder, name);
  cpSync(fixture, folder, { recursive: true });
  writeFileSync(join(folder, 'data.json'), JSON.stringify({ keys: JSON.stringify(bench.callers.jwks) }));
  return folder;
}

export const policyBundle = (bench: Bench, name: Fixture): string =>
  buildBundle([policyFolder(bench, name)], join(bench.folder, `${name}.tar.gz`));

const measured = ({ grpc, diagnostic, process }: Server): Measured => ({ grpc, diagnostic, pid: process.pid ?? 0 });

export type PosternOptions = {
  readonly policy: Fixture;
  /** The section `postern`. */
  readonly postern?: Tree;
  readonly config?: Tree;
} & Pick<StartOptions, 'program'>;

/** Postern with a policy of the bench's. */
export async function postern(bench: Bench, scope: Scope, options: PosternOptions): Promise<Measured> {
  const { policy, config = {}, program } = options;
  const args = ['--bundle', policyBundle(bench, policy)];
  return measured(
    await startPostern(scope, {
      ...{ folder: bench.folder, args, config: { ...config, postern: options.postern ?? {} } },
      ...(program === undefined ? {} : { program }),
    }),
  );
}

/** The same as `postern.identity` and a log on the disk: what a server that is used has. */
export const whole = (bench: Bench, scope: Scope, log: string): Promise<Measured> =>
  postern(bench, scope, { policy: 'verified', postern: { identity: bench.identity, store: storeIn(bench, log) } });

/** `postern.store` in a folder of its own. */
export const storeIn = (bench: Bench, name: string): Tree => ({ path: join(bench.folder, `decisions-${name}`) });

/** The peer with a policy of the bench's: its binary has no WebAssembly engine, and gets the same Rego as it is. */
export async function peerServer(
  bench: Bench,
  scope: Scope,
  binary: string,
  policy: Fixture,
  config: Tree = {},
): Promise<Measured> {
  const args = ['--bundle', policyFolder(bench, policy)];
  return measured(await startPeer(scope, binary, { folder: bench.folder, args, config }));
}

/** The same transport with nothing behind it. */
export async function floorServer(scope: Scope): Promise<Measured> {
  const child = startProcess(scope, process.execPath, [join(root, 'bench/load/floor.ts')]);
  await child.printed(/listening on \d+/);
  const port = /listening on (\d+)/.exec(child.stdout())?.[1] ?? '';
  return { grpc: `127.0.0.1:${port}`, pid: child.process.pid ?? 0 };
}

/** A program that starts another one in its place, with what that prints in a file; a pipe to the bench would cost the bench. */
export function printingTo(file: string, program: string): string {
  const script = `${file}.sh`;
  writeFileSync(script, `#!/bin/sh\nexec '${program}' "$@" >'${file}' 2>&1\n`, { mode: 0o755 });
  return script;
}
