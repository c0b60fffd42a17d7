import type { DecisionLogsConfig } from '../../config/decision-logs.ts';
import type { KeyConfig, ServiceConfig } from '../../config/schema.ts';
import type { LogFormat, LogLevel } from '../../telemetry/logger.ts';
import type { UploadCounts } from '../../telemetry/upload-metrics.ts';

/* What the process that serves and the one that sends decisions to a service say to each other. */

/** Of the write-ahead log. */
export type Folders = { readonly wal: string; readonly cursors: string };

export type UploadLimits = {
  /** What waits longer is given up, hours. */
  readonly hours: number;
  /** What is more is given up, oldest first, bytes on the disk. */
  readonly bytes: number;
};

export type UploadSettings = {
  /** Of the decisions; segments are in `wal` below. */
  readonly path: string;
  /** Nobody else reads the segments: those of processes that have gone are sealed here, and what was sent is removed. */
  readonly alone: boolean;
  readonly limits: UploadLimits;
  readonly reporting: DecisionLogsConfig['reporting'];
  /** Where decisions are sent, and with what. */
  readonly url: string;
  readonly serviceName: string;
  readonly service: ServiceConfig;
  readonly keys: { readonly [name: string]: KeyConfig };
  readonly logging: { readonly level: LogLevel; readonly format: LogFormat };
};

export type UploadFunctions = {
  /** Rejects when the folder cannot be used. */
  readonly start: (settings: UploadSettings) => Promise<void>;
  /** Sends what is there. */
  readonly flush: (nothing: undefined) => void;
  /** Sends what is there, for so long, and ends. */
  readonly stop: (forMs: number) => Promise<void>;
};

export type UploadOwnerFunctions = {
  /** Sent again and again; a process that falls silent is replaced. */
  readonly report: (counts: UploadCounts) => void;
};
