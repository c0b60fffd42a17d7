import { mkdir, rm, stat } from 'node:fs/promises';
import { syncFolder } from '../../lib/sync-folder.ts';
import { addReader, readPositions, writePositions } from '../store/cursors.ts';
import { type Reading, readLines } from '../store/reader.ts';
import { createdAt, listSegments, type SegmentFile, sealedFile } from '../store/segment.ts';
import { type Event, readEvent } from './event.ts';
import type { Folders } from './protocol.ts';

/** What of the write-ahead log waits for the service. Its functions are not to overlap. */
export type Outbox = {
  /** Looks which segments there are. */
  readonly look: () => Promise<void>;
  /** Reads until so many characters are at hand; resolves with whether that was all there is. */
  readonly fill: (characters: number) => Promise<boolean>;
  /** Decisions at hand, those of one process in their order. */
  readonly events: () => readonly Event[];
  /** Characters of them. */
  readonly length: () => number;
  /** The first so many are done with, for good once this resolves. */
  readonly finish: (count: number) => Promise<void>;
  /** Segments that somebody writes to, or has before he went. */
  readonly open: () => readonly SegmentFile[];
  /** Segments with something that waits, oldest first. */
  readonly waiting: () => readonly Waiting[];
  /** Gives up what waits in these segments; resolves with how many decisions that were. */
  readonly giveUp: (segments: readonly SegmentFile[]) => Promise<number>;
  /** About when the oldest decision was made that waits, ms since the epoch; undefined: none waits. */
  readonly oldestMs: () => number | undefined;
};

export type Waiting = { readonly segment: SegmentFile; readonly bytes: number };

export type OutboxParts = {
  readonly folders: Folders;
  /** Remove segments that are done with: nobody else wants them. */
  readonly removes: boolean;
  /** Whether a decision is to be sent. */
  readonly admits: (event: Event) => boolean;
  readonly onUnreadable: (segment: string, count: number) => void;
  readonly onError: (what: string, error: unknown) => void;
};

/** Its name among those who read the log. */
export const READER = 'upload';

type Held = Event & { readonly segment: string; readonly end: number };
/** A segment, as it was seen last. `read`: how far, bytes; `ended`: there is nothing complete behind that. */
type Seen = { segment: SegmentFile; size: number; read: number; ended: boolean };

export async function openOutbox(parts: OutboxParts): Promise<Outbox> {
  const { folders, onError } = parts;
  await mkdir(folders.wal, { recursive: true, mode: 0o700 });
  await addReader(folders.cursors, READER);
  const done = new Map(await readPositions(folders.cursors, READER));
  /** In the order in which they were found, which of one process is that of their making. */
  const seen = new Map<string, Seen>();
  let held: Held[] = [];
  let length = 0;
  /** Something is done with that the file does not say. */
  let isNews = false;

  const doneOf = (name: string): number => done.get(name) ?? 0;

  async function look(): Promise<void> {
    const listed = await listSegments(folders.wal);
    const names = new Set(listed.map(({ name }) => name));
    for (const name of [...new Set([...seen.keys(), ...done.keys()])]) {
      if (!names.has(name) && (await isGone(name))) forget(name);
    }
    for (const segment of listed) {
      const known = seen.get(segment.name);
      if (known !== undefined && !known.segment.open) continue;
      const size = await sizeOf(segment.file);
      // Renamed since, or the disk fails: at the next look.
      if (size === undefined) continue;
      const read = known?.read ?? doneOf(segment.name);
      // What was sealed since may have got lines before that.
      seen.set(segment.name, { segment, size, read, ended: !segment.open && read >= size });
    }
    await removeDone();
  }

  /** A segment that is renamed while the folder is read may not be in the list. */
  const isGone = async (name: string): Promise<boolean> => (await sizeOf(sealedFile(folders.wal, name))) === undefined;

  function forget(name: string): void {
    const { read = 0, size = 0 } = seen.get(name) ?? {};
    if (read < size) onError(`reading ${name}`, new Error('it was removed before its decisions were sent'));
    seen.delete(name);
    if (done.delete(name)) isNews = true;
  }

  /** Takes decisions of a segment out; returns how many. */
  function drop(name: string): number {
    const before = held.length;
    held = held.filter(({ segment }) => segment !== name);
    length = held.reduce((sum, { text }) => sum + text.length, 0);
    return before - held.length;
  }

  async function fill(characters: number): Promise<boolean> {
    for (const each of seen.values()) {
      while (!each.ended) {
        if (length >= characters) return false;
        if (await readPart(each)) break;
      }
    }
    await settle();
    return true;
  }

  /** Resolves with whether there is nothing more now. */
  async function readPart(each: Seen): Promise<boolean> {
    const { name, open } = each.segment;
    let reading: Reading;
    try {
      reading = await readSegment(each.segment, each.read);
    } catch (error) {
      onError(`reading ${name}`, error);
      return true;
    }
    const { lines, offset, end, torn } = reading;
    let at = each.read;
    let unreadable = 0;
    for (const line of lines) {
      at += Buffer.byteLength(line) + 1;
      const event = readEvent(line);
      if (event === 'unreadable') unreadable++;
      else if (event !== 'other' && parts.admits(event)) {
        held.push({ ...event, segment: name, end: at });
        length += event.text.length;
      }
    }
    each.read = offset;
    each.size = Math.max(each.size, offset + torn);
    if (end && !open) {
      // A last line without an end is no decision.
      if (torn > 0) unreadable++;
      each.read = each.size;
      each.ended = true;
    }
    if (unreadable > 0) parts.onUnreadable(name, unreadable);
    return end;
  }

  async function readSegment(segment: SegmentFile, from: number): Promise<Reading> {
    try {
      return await readLines(segment.file, from);
    } catch (error) {
      if (!segment.open || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      // Sealed meanwhile. That it is will be known at the next look.
      return readLines(sealedFile(folders.wal, segment.name), from);
    }
  }

  /** Moves each segment's place to before the first decision of it that is at hand. */
  async function settle(): Promise<void> {
    const first = new Set<string>(held.map(({ segment }) => segment));
    for (const [name, { read }] of seen) {
      if (!first.has(name)) moveTo(name, read);
    }
    await removeDone();
    if (isNews) await writePositions(folders.cursors, READER, done);
    isNews = false;
  }

  function moveTo(name: string, place: number): void {
    if (doneOf(name) === place) return;
    done.set(name, place);
    isNews = true;
  }

  async function removeDone(): Promise<void> {
    if (!parts.removes) return;
    const gone = [...seen].filter(([name, { ended, size }]) => ended && doneOf(name) >= size);
    for (const [name, { segment }] of gone) {
      await rm(segment.file, { force: true });
      forget(name);
    }
    if (gone.length > 0) await syncFolder(folders.wal);
  }

  return {
    look,
    fill,
    events: () => held,
    length: () => length,
    finish: async (count) => {
      for (const { segment, end, text } of held.slice(0, count)) {
        moveTo(segment, end);
        length -= text.length;
      }
      held = held.slice(count);
      await settle();
    },
    open: () => [...seen.values()].map(({ segment }) => segment).filter(({ open }) => open),
    waiting: () =>
      [...seen.values()]
        .map(({ segment, size }) => ({ segment, bytes: size - doneOf(segment.name) }))
        .filter(({ bytes }) => bytes > 0),
    giveUp: async (segments) => {
      let count = 0;
      for (const { name } of segments) {
        const each = seen.get(name);
        if (each === undefined) continue;
        count += drop(name) + (await countLines(each));
        each.read = each.size;
        each.ended = !each.segment.open;
      }
      // What is given up is to be counted whether or not it can be noted now.
      await settle().catch((error: unknown) => onError('noting what was given up', error));
      return count;
    },
    oldestMs: () => {
      const times = held.map(({ timeMs, segment }) => (Number.isNaN(timeMs) ? createdAt(segment) : timeMs));
      const unread = [...seen.values()].filter(({ read, size }) => read < size);
      const all = [...times, ...unread.map(({ segment }) => createdAt(segment.name))];
      return all.length === 0 ? undefined : all.reduce((a, b) => Math.min(a, b));
    },
  };

  /** Decisions of a segment behind what was read. */
  async function countLines(each: Seen): Promise<number> {
    let count = 0;
    let from = each.read;
    try {
      for (;;) {
        const { lines, offset, end } = await readSegment(each.segment, from);
        count += lines.filter((line) => !line.startsWith('{"gap":')).length;
        from = offset;
        if (end) return count;
      }
    } catch (error) {
      onError(`reading ${each.segment.name}`, error);
      return count;
    }
  }
}

const sizeOf = (file: string): Promise<number | undefined> =>
  stat(file).then(
    ({ size }) => size,
    () => undefined,
  );
