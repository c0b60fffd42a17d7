import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Asked } from '../query/source.ts';
import type { View } from './catalog.ts';
import { columnList } from './columns.ts';
import { literal } from './database.ts';
import type { Loan } from './protocol.ts';

/**
 * Lends all decisions as files to a process that has nothing but them: those that are in no file yet are written to one
 * for the time of the loan.
 */
export function createLending(asked: Asked, folder: string | undefined) {
  const { catalog, database } = asked;
  const loans = new Map<number, { readonly view: View; readonly draft: string | undefined }>();
  let last = 0;

  async function draftOf(id: number, { segments }: View): Promise<string | undefined> {
    if (segments.length === 0) return undefined;
    const draft = join(folder ?? tmpdir(), `lent-${folder === undefined ? crypto.randomUUID() : id}.parquet`);
    const names = segments.map(literal).join(', ');
    await database.ask(
      `COPY (SELECT ${columnList} FROM tail WHERE segment IN (${names})) TO ${literal(draft)} (FORMAT parquet, COMPRESSION snappy)`,
      {},
      asked.timeoutMs,
    );
    return draft;
  }

  return {
    lend: async (): Promise<Loan> => {
      const id = ++last;
      const view = catalog.view();
      try {
        const draft = await draftOf(id, view);
        loans.set(id, { view, draft });
        return { id, files: [...view.files.map(({ file }) => file), ...(draft === undefined ? [] : [draft])] };
      } catch (error) {
        view.release();
        throw error;
      }
    },
    giveBack: (id: number, unreadable: boolean): void => {
      const loan = loans.get(id);
      loans.delete(id);
      if (loan === undefined) return;
      loan.view.release();
      if (loan.draft !== undefined) void rm(loan.draft, { force: true });
      if (unreadable) void asked.examine(loan.view.files);
    },
  };
}
