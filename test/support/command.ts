import { execFile } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { root, tool } from './process.ts';

export type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };
export type RunOptions = { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv };

/** A PATH on which opa comes first. */
export const pathWithOpa = (): string => `${dirname(tool('opa'))}${delimiter}${process.env['PATH'] ?? ''}`;

/** Runs a program to its end. */
export const runFile = (file: string, args: readonly string[], { cwd, env }: RunOptions = {}): Promise<Ran> =>
  new Promise((resolve, reject) => {
    const options = { cwd: cwd ?? root, env: { ...process.env, ...env }, maxBuffer: 67_108_864 };
    execFile(file, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ code: 0, stdout, stderr });
      else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
      else reject(error);
    });
  });

/** Runs `postern` as its users do, with opa on the PATH. */
export const postern = (args: readonly string[], { cwd, env }: RunOptions = {}): Promise<Ran> =>
  runFile(join(root, 'bin/postern'), args, { ...(cwd && { cwd }), env: { PATH: pathWithOpa(), ...env } });

export const opa = (args: readonly string[], options: RunOptions = {}): Promise<Ran> =>
  runFile(tool('opa'), args, options);
