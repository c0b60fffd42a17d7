import type { Tree } from '../config/discovery.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { DecisionQueries } from '../decisions/query/queries.ts';
import type { Pipe } from '../lib/channel.ts';
import type { ClientTls, ExplainedVerdict, Question, Verdict } from '../model/question.ts';
import type { LogFormat, Logger, LogLevel } from '../telemetry/logger.ts';
import type { BundleCommands } from './bundle/ports.ts';

/** The process as the commands see it; main.ts is the only place that touches the real one. */
export type Io = {
  readonly env: { readonly [name: string]: string | undefined };
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  /** Resolves when somebody asks the process to stop. */
  readonly stopRequested: () => Promise<string>;
  readonly fork: ForkWorker;
  readonly spawnStore: SpawnStore;
  /** Calls `reload` whenever somebody asks the process to look again at what it was started from. */
  readonly onReloadRequested: (reload: () => void) => void;
  /** Calls `restart` whenever somebody asks for new workers in the place of those that are there. */
  readonly onRestartRequested: (restart: () => void) => void;
};

/** Another process of this program, which serves as it is told. */
export type WorkerProcess = {
  readonly pid: number;
  readonly pipe: Pipe;
  readonly kill: (signal: 'SIGKILL') => void;
  /** Resolves with how it ended. */
  readonly exited: Promise<string>;
};
export type ForkWorker = () => WorkerProcess;
/**
 * A process that keeps decisions, one that asks them in SQL and ends when it has more memory than that, or one that sends
 * them to a service. It has no environment but `env`.
 */
export type SpawnStore = (role: 'store' | 'sql' | 'upload', memoryBytes: number, env?: Io['env']) => WorkerProcess;

/** Everything a server is started from. */
export type Settings = {
  readonly config: Config;
  readonly apiAddress: string;
  readonly diagnosticAddress: string;
  /** Bundle files and directories, and Rego sources, given on the command line. */
  readonly bundlePaths: readonly string[];
  readonly sourcePaths: readonly string[];
  /** Patterns of files that are left out when sources are compiled. */
  readonly ignore: readonly string[];
  readonly log: Logger;
  /** What `log` was made of, for other processes to make theirs. */
  readonly logging: { readonly level: LogLevel; readonly format: LogFormat };
  readonly env: Io['env'];
  readonly fork: ForkWorker;
  readonly spawnStore: SpawnStore;
  /** The same configuration, with what was discovered under it. */
  readonly configure: (discovered: Tree) => LoadedConfig;
};

export type Running = {
  readonly addresses: { readonly extAuthz: string; readonly api: string; readonly diagnostic: string };
  /** Path of the decision. */
  readonly path: string;
  /** Revision by bundle; empty before the first activation. */
  readonly revisions: () => { readonly [bundle: string]: string };
  readonly isReady: () => boolean;
  /** Looks again, now, at the files that are followed while it runs. Resolves with the names of the parts that did. */
  readonly reload: () => Promise<readonly string[]>;
  /** Replaces workers one after another. Rejects when one cannot be, and the rest stays. Undefined: there are none. */
  readonly restart: (() => Promise<void>) | undefined;
  /** Drains and stops; resolves when the last record is written. */
  readonly stop: () => Promise<void>;
};

export type StartServer = (settings: Settings) => Promise<Running>;

/** Decides with the policy given, in this process. */
export type OfflineSettings = Omit<Settings, 'fork' | 'logging' | 'spawnStore' | 'configure'>;
export type AskOffline = (settings: OfflineSettings, question: Question) => Promise<ExplainedVerdict>;
/** Asks a running server, without encryption unless told how. */
export type AskServer = (address: string, question: Question, tls: ClientTls | undefined) => Promise<Verdict>;

/** Opens a folder of decisions for reading only. Rejects when there is none. */
export type OpenDecisions = (
  folder: string,
  io: Pick<Io, 'spawnStore' | 'stderr'>,
) => Promise<{ readonly queries: DecisionQueries; readonly close: () => Promise<void> }>;

export type Commands = BundleCommands & {
  readonly openDecisions: OpenDecisions;
  readonly startServer: StartServer;
  readonly askOffline: AskOffline;
  readonly askServer: AskServer;
};
