import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../../../lib/message.ts';
import { createOneByOne } from '../../../lib/one-by-one.ts';
import { replaceFile } from '../../../lib/replace-file.ts';
import { syncFolder } from '../../../lib/sync-folder.ts';

/**
 * Which files are for the archive (`chosen`), and which of them are there (`archived`). Kept on the disk: a file that was
 * chosen may be in the archive whatever happens next, so it is never merged any more, also while there is no archive.
 */
export type ArchiveList = {
  /** Undefined: not chosen yet. */
  readonly stateOf: (name: string) => 'chosen' | 'archived' | undefined;
  /** Resolves when it is on the disk. */
  readonly choose: (names: readonly string[]) => Promise<void>;
  readonly markArchived: (name: string) => Promise<void>;
  /** Forgets all others. */
  readonly keepOnly: (names: ReadonlySet<string>) => Promise<void>;
};

type State = ReadonlyMap<string, 'chosen' | 'archived'>;
type Content = { readonly chosen: readonly string[]; readonly archived: readonly string[] };

export async function openArchiveList(parts: {
  readonly file: string;
  /** Names of the files that are there. */
  readonly present: readonly string[];
  readonly onUnreadable: (reason: string) => void;
}): Promise<ArchiveList> {
  const { file, present } = parts;
  const inTurn = createOneByOne();
  let state: State = new Map();

  const change = (make: (before: State) => State): Promise<void> =>
    inTurn(async () => {
      const after = make(state);
      if (after === state) return;
      await replaceFile(file, Buffer.from(textOf(after)), 0o600);
      await syncFolder(dirname(file));
      state = after;
    });

  const choose = (names: readonly string[]): Promise<void> =>
    change((before) => new Map([...before, ...names.map((name) => [name, 'chosen'] as const)]));

  try {
    state = await readState(file);
  } catch (error) {
    parts.onUnreadable(messageOf(error));
    // Any of them may be in the archive; put there again under the same name, it is still there once.
    await choose(present);
  }

  return {
    stateOf: (name) => state.get(name),
    choose,
    markArchived: (name) => change((before) => (before.has(name) ? new Map([...before, [name, 'archived']]) : before)),
    keepOnly: (names) =>
      change((before) => {
        const kept = [...before].filter(([name]) => names.has(name));
        return kept.length === before.size ? before : new Map(kept);
      }),
  };
}

function textOf(state: State): string {
  const named = (wanted: string): readonly string[] =>
    [...state].filter(([, is]) => is === wanted).map(([name]) => name);
  const content: Content = { chosen: named('chosen'), archived: named('archived') };
  return `${JSON.stringify(content)}\n`;
}

async function readState(file: string): Promise<State> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw error;
  }
  const { chosen, archived } = JSON.parse(text) as Content;
  return new Map([
    ...chosen.map((name) => [name, 'chosen'] as const),
    ...archived.map((name) => [name, 'archived'] as const),
  ]);
}
