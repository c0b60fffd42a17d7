import { readFileSync } from 'node:fs';
import { messageOf } from '../lib/message.ts';
import type { ExplainedVerdict, Question } from '../model/question.ts';
import { createLogger } from '../telemetry/logger.ts';
import { clientTlsOf, type TlsFlags, wantsTls } from './client-tls.ts';
import { type ConfigFlags, requireConfiguration } from './configuration.ts';
import { type Format, headerOf } from './flags.ts';
import type { AskOffline, AskServer, Io } from './ports.ts';

export type CheckFlags = ConfigFlags &
  TlsFlags & {
    readonly bundle: readonly string[];
    readonly server?: string;
    readonly method: string;
    readonly url?: string;
    readonly header: readonly string[];
    readonly body?: string;
    readonly principal?: string;
    readonly request?: string;
    readonly expect?: 'allow' | 'deny';
    readonly format: Format;
  };

type Asking = { readonly offline: AskOffline; readonly server: AskServer };

/** `postern check`: what would this request do? Returns the exit code: 1 when the answer is not the one expected. */
export async function check(flags: CheckFlags, io: Io, ask: Asking): Promise<number> {
  let verdict: ExplainedVerdict;
  try {
    verdict = await answerOf(flags, io, ask);
  } catch (error) {
    for (const line of messageOf(error).split('\n')) io.stderr.write(`postern: ${line}\n`);
    return 2;
  }
  io.stdout.write(flags.format === 'json' ? `${JSON.stringify(verdict)}\n` : describe(verdict));
  return flags.expect === undefined || (flags.expect === 'allow') === verdict.allowed ? 0 : 1;
}

async function answerOf(flags: CheckFlags, io: Io, ask: Asking): Promise<ExplainedVerdict> {
  const question = questionOf(flags);
  if (flags.server !== undefined) {
    if (flags.bundle.length > 0) throw new Error('--server asks a running server; it takes no --bundle');
    return ask.server(flags.server, question, wantsTls(flags) ? await clientTlsOf(flags) : undefined);
  }
  if (wantsTls(flags)) throw new Error('--tls and its like are for asking a running server with --server');
  const config = requireConfiguration(flags, io.env);
  if (flags.bundle.length === 0) throw new Error('give a policy with --bundle, or a running server with --server');
  return ask.offline(
    {
      config,
      apiAddress: '',
      diagnosticAddress: '',
      bundlePaths: flags.bundle,
      sourcePaths: [],
      ignore: [],
      log: createLogger('error', 'text', io.stderr),
      env: io.env,
    },
    question,
  );
}

function questionOf(flags: CheckFlags): Question {
  if ((flags.url === undefined) === (flags.request === undefined)) {
    throw new Error('give either --url or --request');
  }
  return {
    method: flags.method,
    url: flags.url ?? '',
    headers: flags.header.map(headerOf),
    body: flags.body,
    principal: flags.principal,
    checkRequest: flags.request === undefined ? undefined : readFileSync(flags.request, 'utf8'),
  };
}

function describe(verdict: ExplainedVerdict): string {
  const lines = [
    `${verdict.allowed ? 'allowed' : 'denied'} (HTTP ${verdict.httpStatus})`,
    ...(verdict.reason === undefined ? [] : [`reason: ${verdict.reason}`]),
    ...(verdict.policyReasons ?? []).map((reason) => `policy: ${reason}`),
    ...(verdict.cause === undefined ? [] : [`cause: ${verdict.cause}`]),
    ...verdict.headers.map(([name, value]) => `header: ${name}: ${value}`),
    ...(verdict.body === '' ? [] : [`body: ${verdict.body}`]),
    `decision: ${verdict.decisionId}`,
  ];
  return `${lines.join('\n')}\n`;
}
