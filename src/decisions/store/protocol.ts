import type { S3Config } from '../../config/schema.ts';
import type { LogFormat, LogLevel } from '../../telemetry/logger.ts';
import type { StoreCounts } from '../../telemetry/store-metrics.ts';
import type { Filters } from '../query/filters.ts';
import type { GapsAnswer } from '../query/gaps.ts';
import type { HistogramAnswer, HistogramQuestion } from '../query/histogram.ts';
import type { ListQuestion, Page } from '../query/list.ts';
import type { TopAnswer, TopQuestion } from '../query/top.ts';
import type { Ran, Statement } from '../sql/run.ts';

/*
 * What the process that serves the API and those that keep and ask decisions say to each other. There are two: the store,
 * and one for statements in SQL, which may be ended at any time without loss.
 */

export type StoreSettings = {
  readonly path: string;
  readonly retentionHours: number;
  readonly retentionBytes: number;
  readonly memoryBytes: number;
  readonly timeoutMs: number;
  /** Leave the files as they are: for asking about what a stopped server has left. */
  readonly readOnly: boolean;
  /** Where decisions are archived. */
  readonly archive?: ArchiveSettings;
  readonly logging: { readonly level: LogLevel; readonly format: LogFormat };
};

export type ArchiveSettings = {
  readonly bucket: string;
  /** What all keys begin with, without a slash at its end; it may be empty. */
  readonly prefix: string;
  /** How old decisions become before. */
  readonly afterSeconds: number;
  readonly s3: S3Config;
};

/** `unavailable`: it cannot be answered now, or not in time. */
export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly kind: 'refused' | 'unavailable'; readonly problem: string };

/** Files that stay until they are given back. */
export type Loan = { readonly id: number; readonly files: readonly string[] };

export type StoreFunctions = {
  /** Rejects when the folder cannot be used. */
  readonly start: (settings: StoreSettings) => Promise<void>;
  readonly list: (question: ListQuestion) => Promise<Answer<Page>>;
  /** The event as JSON. */
  readonly show: (id: string) => Promise<Answer<string | undefined>>;
  readonly histogram: (question: HistogramQuestion) => Promise<Answer<HistogramAnswer>>;
  readonly top: (question: TopQuestion) => Promise<Answer<TopAnswer>>;
  readonly gaps: (time: Pick<Filters, 'since' | 'until'>) => Promise<Answer<GapsAnswer>>;
  /** All decisions as files. */
  readonly lend: (nothing: undefined) => Promise<Answer<Loan>>;
  /** `unreadable`: one of them could not be read. */
  readonly giveBack: (loan: { readonly id: number; readonly unreadable: boolean }) => void;
  readonly follow: (follower: { readonly id: string; readonly filters: Filters }) => void;
  readonly unfollow: (id: string) => void;
  /** Takes in what is sealed, and ends. */
  readonly stop: (nothing: undefined) => Promise<void>;
};

export type StoreOwnerFunctions = {
  /** Sent again and again; a store that falls silent is replaced. */
  readonly report: (report: StoreCounts) => void;
  /** Resolves when more can be taken. */
  readonly followed: (news: {
    readonly id: string;
    readonly events: readonly string[];
    /** How many were left out before them. */
    readonly left: number;
  }) => Promise<void>;
};

export type SqlFunctions = {
  /** Answers once it is there. */
  readonly ready: (nothing: undefined) => void;
  readonly run: (statement: Statement) => Promise<Ran>;
};

export const REPORT_EVERY_MS = 500;
