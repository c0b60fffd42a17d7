import type { Config } from '../config/schema.ts';
import type { Logger } from '../telemetry/logger.ts';

/** The process as the commands see it; main.ts is the only place that touches the real one. */
export type Io = {
  readonly env: { readonly [name: string]: string | undefined };
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  /** Resolves when somebody asks the process to stop. */
  readonly stopRequested: () => Promise<string>;
};

/** Everything a server is started from. */
export type Settings = {
  readonly config: Config;
  readonly apiAddress: string;
  readonly diagnosticAddress: string;
  /** Bundle files and directories, and Rego sources, given on the command line. */
  readonly bundlePaths: readonly string[];
  readonly sourcePaths: readonly string[];
  readonly log: Logger;
  readonly env: Io['env'];
};

export type Running = {
  readonly addresses: { readonly extAuthz: string; readonly api: string; readonly diagnostic: string };
  /** Path of the decision. */
  readonly path: string;
  /** Revision by bundle; empty before the first activation. */
  readonly revisions: () => { readonly [bundle: string]: string };
  readonly isReady: () => boolean;
  /** Drains and stops; resolves when the last record is written. */
  readonly stop: () => Promise<void>;
};

export type StartServer = (settings: Settings) => Promise<Running>;

/** A request to ask about, as one would give it to curl, or as CheckRequest JSON (protojson). */
export type Question = {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string | undefined;
  readonly principal: string | undefined;
  readonly checkRequest: string | undefined;
};

/** What Envoy would do with the answer. */
export type Verdict = {
  readonly allowed: boolean;
  readonly httpStatus: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly decisionId: string;
  /** Known only when the question was decided in this process. */
  readonly reason?: string;
  readonly policyReasons?: readonly string[];
  readonly cause?: string;
};

/** Decides with the policy given, in this process. */
export type AskOffline = (settings: Settings, question: Question) => Promise<Verdict>;
/** Asks a running server. */
export type AskServer = (address: string, question: Question) => Promise<Verdict>;

export type Commands = {
  readonly startServer: StartServer;
  readonly askOffline: AskOffline;
  readonly askServer: AskServer;
};
