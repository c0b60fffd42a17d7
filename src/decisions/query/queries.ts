import type { Table } from '../sql/run.ts';
import type { Answer } from '../store/protocol.ts';
import type { Filters } from './filters.ts';
import type { GapsAnswer } from './gaps.ts';
import type { HistogramAnswer, HistogramQuestion } from './histogram.ts';
import type { ListQuestion, Page } from './list.ts';
import type { TopAnswer, TopQuestion } from './top.ts';

/** What can be asked about decisions, wherever they are kept. Nothing rejects. */
export type DecisionQueries = {
  readonly list: (question: ListQuestion) => Promise<Answer<Page>>;
  /** The event as JSON. */
  readonly show: (id: string) => Promise<Answer<string | undefined>>;
  readonly histogram: (question: HistogramQuestion) => Promise<Answer<HistogramAnswer>>;
  readonly top: (question: TopQuestion) => Promise<Answer<TopAnswer>>;
  readonly gaps: (time: Pick<Filters, 'since' | 'until'>) => Promise<Answer<GapsAnswer>>;
  readonly sql: (statement: string) => Promise<Answer<Table>>;
  /** From now on; `take` gets events as JSON, and how many were left out before them, and resolves when it can take more. */
  readonly follow: (
    filters: Filters,
    take: (events: readonly string[], left: number) => Promise<void>,
  ) => { readonly end: () => void };
};
