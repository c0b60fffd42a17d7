import type { Policy } from '../../bundles/activate.ts';
import type { Config } from '../../config/schema.ts';
import type { Found } from '../../identity/jwks.ts';
import type { KeyState } from '../../identity/shared-jwks.ts';
import type { LogFormat, LogLevel } from '../../telemetry/logger.ts';
import type { MetricValues } from '../../telemetry/metrics.ts';

/*
 * What the primary and its workers say to each other. The primary decides what serves; a worker does as it is told, and
 * answers Envoy.
 */

export type WorkerSettings = {
  /** 1, 2 and so on; a worker that replaces another has its number. */
  readonly worker: number;
  readonly instanceId: string;
  readonly config: Config;
  readonly logging: { readonly level: LogLevel; readonly format: LogFormat };
};

/** A policy on its way; its bytes (modules in their order, then the data) follow in parts. */
export type PolicyHead = Pick<Policy, 'revisions' | 'digests'> & {
  readonly id: number;
  readonly modules: readonly (Omit<Policy['modules'][number], 'wasm'> & { readonly bytes: number })[];
  readonly dataBytes: number;
};

export type WorkerFunctions = {
  /** Becomes ready for a policy. */
  readonly start: (settings: WorkerSettings) => Promise<void>;
  readonly receive: (head: PolicyHead) => void;
  readonly receivePart: (part: { readonly id: number; readonly bytes: Uint8Array }) => void;
  /** Loads what was received, and asks it once. */
  readonly prepare: (id: number) => Promise<void>;
  /** Serves what was prepared. */
  readonly commit: (id: number) => Promise<void> | void;
  /** Forgets what was received or prepared. */
  readonly abandon: (id: number) => Promise<void> | void;
  /** What serves is older than it may be, or is not any more. */
  readonly setStale: (stale: boolean) => void;
  readonly keysChanged: (change: { readonly issuer: string; readonly state: KeyState }) => void;
  /** Resolves with the address. */
  readonly listen: (nothing: undefined) => Promise<string>;
  readonly metrics: (nothing: undefined) => Promise<readonly MetricValues[]>;
  readonly reload: (nothing: undefined) => Promise<void>;
  /** Has the client of one connection open another one. */
  readonly sendOneAway: (nothing: undefined) => void;
  /** Is not ready any more, and goes on answering. */
  readonly retire: (nothing: undefined) => void;
  /** Finishes what is under way, and everything else. Resolves with what was counted until then. */
  readonly stop: (nothing: undefined) => Promise<readonly MetricValues[]>;
};

export type PrimaryFunctions = {
  /** Sent again and again; a worker that falls silent is replaced. */
  readonly beat: (state: { readonly ready: boolean; readonly connections: number }) => void;
  readonly keyStateOf: (issuer: string) => KeyState;
  readonly lookForKey: (key: {
    readonly issuer: string;
    readonly kid: string | undefined;
    readonly alg: string;
  }) => Promise<Found>;
};

export const BEAT_EVERY_MS = 500;
