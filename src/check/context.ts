import { hash, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { joinedHeader, onlyHeader } from '../lib/request-headers.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Identity } from '../model/identity.ts';
import type { JsonObject } from '../model/json.ts';
import { numberOf, rawNumber } from '../values/json.ts';

export type ContextOptions = {
  /**
   * How many of the last entries of x-forwarded-for were written by trusted proxies, the asking Envoy included: the client
   * is the one that many from the right. Null or 0: it is who connected to Envoy, whatever the header says.
   */
  readonly trustedHops: number | null;
  /** IANA name of the zone that `hour` and `weekday` are told in. */
  readonly timeZone: string;
};

const DAY_MS = 86_400_000;
const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const;
/** How far a clock may be behind the identity provider's. */
const CLOCK_SKEW_SECONDS = 60;

/**
 * What becomes `input.context`: `time` {`ns` since the epoch, `rfc3339` with the zone's offset, `hour` 0–23, `weekday` such
 * as Monday}, `client_ip`, `geo` of this address when `geoOf` is given, `authentication_age_seconds` and `request`
 * {`content_type`, `content_length` as declared, `body_bytes` as received}; null where something is unknown. Throws
 * RangeError when there is no such zone.
 */
export function createContext(
  { trustedHops, timeZone }: ContextOptions,
  { wallMs, geoOf }: { readonly wallMs: () => number; readonly geoOf?: (clientIp: string | null) => JsonObject | null },
): (facts: RequestFacts, identity: Identity | undefined) => JsonObject {
  const timeOf = createTime(timeZone);
  return (facts, identity) => {
    const nowMs = Math.floor(wallMs());
    const clientIp = clientIpOf(facts, trustedHops);
    return {
      time: timeOf(nowMs),
      client_ip: clientIp,
      ...(geoOf === undefined ? {} : { geo: geoOf(clientIp) }),
      authentication_age_seconds: authenticationAge(identity, Math.floor(nowMs / 1000)),
      request: {
        content_type: onlyHeader(facts, 'content-type') ?? null,
        content_length: contentLength(facts),
        body_bytes: facts.body !== '' ? Buffer.byteLength(facts.body) : facts.rawBody.byteLength,
      },
    };
  };
}

function createTime(timeZone: string): (nowMs: number) => JsonObject {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
  let minute = Number.NaN;
  let offsetMs = 0;
  return (nowMs) => {
    const current = Math.floor(nowMs / 60_000);
    // An offset changes on a full minute only, and asking for it costs more than the rest of the context.
    if (current !== minute) {
      offsetMs = offsetAt(format, nowMs);
      minute = current;
    }
    const localMs = nowMs + offsetMs;
    const day = Math.floor(localMs / DAY_MS);
    return {
      ns: rawNumber(String(BigInt(nowMs) * 1_000_000n)),
      rfc3339: new Date(localMs).toISOString().slice(0, -1) + offsetText(offsetMs),
      hour: Math.floor((localMs - day * DAY_MS) / 3_600_000),
      // The epoch was a Thursday.
      weekday: WEEKDAYS[(((day + 4) % 7) + 7) % 7] ?? null,
    };
  };
}

function offsetAt(format: Intl.DateTimeFormat, ms: number): number {
  const name = format.formatToParts(ms).find(({ type }) => type === 'timeZoneName')?.value ?? '';
  const match = /^GMT(?:([+-])(\d{2}):(\d{2})(?::(\d{2}))?)?$/.exec(name);
  if (match === null) throw new RangeError('the offset of the time zone is unknown');
  const [, sign, hours = 0, minutes = 0, seconds = 0] = match;
  const total = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000;
  return sign === '-' ? -total : total;
}

/** RFC 3339 section 5.6. */
function offsetText(offsetMs: number): string {
  if (offsetMs === 0) return 'Z';
  const minutes = Math.floor(Math.abs(offsetMs) / 60_000);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${offsetMs < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/**
 * The client's address in its shortest spelling (RFC 5952; IPv4 in IPv6 is IPv4), or null. Envoy's own count
 * (`xff_num_trusted_hops`) is one less: it counts before it appends its peer
 * (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-for).
 */
function clientIpOf(facts: RequestFacts, trustedHops: number | null): string | null {
  if (trustedHops === null || trustedHops === 0) return normalIp(facts.sourceAddress);
  const value = joinedHeader(facts, 'x-forwarded-for');
  if (value === undefined) return null;
  let end = value.length;
  let client: string | null = null;
  for (let hop = 0; hop < trustedHops; hop++) {
    if (end < 0) return null;
    const comma = value.lastIndexOf(',', end - 1);
    // Where an entry is no address nobody knows what the ones before it are worth.
    const entry = value.slice(comma + 1, end);
    client = entry.length > MAX_ENTRY_CHARS ? null : normalIp(entry.replace(/^[ \t]+|[ \t]+$/g, ''));
    if (client === null) return null;
    end = comma;
  }
  return client;
}

const LONGEST_IP = 45;
const MAX_ENTRY_CHARS = 100;

function normalIp(text: string): string | null {
  // A zone (fe80::1%eth0) means something on one machine only.
  if (text.length > LONGEST_IP || text.includes('%') || isIP(text) === 0) return null;
  try {
    const address = ipaddr.process(text);
    return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
  } catch {
    return null;
  }
}

/** Only what was verified counts. An age below zero is a clock that is late, or, beyond that, nonsense. */
function authenticationAge(identity: Identity | undefined, nowSeconds: number): number | null {
  const time = identity?.authenticated === true ? numberOf(identity.claims?.['auth_time']) : undefined;
  if (time === undefined || !Number.isFinite(time)) return null;
  const age = nowSeconds - time;
  if (age < -CLOCK_SKEW_SECONDS) return null;
  return Math.max(0, age);
}

function contentLength(facts: RequestFacts): number | null {
  const text = onlyHeader(facts, 'content-length');
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

const BUCKET_MS = 5000;
/** Those of a minute, and the one that has only begun. */
const BUCKETS = 60_000 / BUCKET_MS + 1;
const MAX_KEY_CHARS = 64;

/**
 * Counts requests: each call is one of this subject and returns how many there were in the last minute (to five seconds
 * more), itself included. Up to `maxSubjects` subjects are counted exactly and forgotten after a minute of silence, never
 * to make room; what does not fit meanwhile is counted in a table of fixed size, which may say too much and never too
 * little. About 200 bytes a subject.
 */
export function createRateCounter(options: {
  readonly maxSubjects: number;
  /** ms. */
  readonly monotonicMs: () => number;
}): (subject: string) => number {
  const capacity = Math.max(1, Math.floor(options.maxSubjects));
  const counts = new Uint32Array(capacity * BUCKETS);
  const latest = new Float64Array(capacity);
  /** Until which bucket the table counted for this slot's subject, before there was room. */
  const sketchedUntil = new Float64Array(capacity).fill(Number.NEGATIVE_INFINITY);
  const slots = createSlots(capacity);
  const sketch = createSketch(capacity);
  let now = 0;

  function slotFor(key: string): number | undefined {
    const known = slots.get(key);
    if (known !== undefined) {
      if (latest[known] !== now) slots.touch(known);
      return known;
    }
    const oldest = slots.oldest();
    const isSilent = oldest !== undefined && (latest[oldest] ?? 0) <= now - BUCKETS;
    if (slots.isFull() && !isSilent) return undefined;
    const slot = slots.assign(key);
    counts.fill(0, slot * BUCKETS, (slot + 1) * BUCKETS);
    latest[slot] = now;
    sketchedUntil[slot] = sketch.isEmpty(now) ? Number.NEGATIVE_INFINITY : now;
    return slot;
  }

  return (subject) => {
    now = Math.max(now, Math.floor(options.monotonicMs() / BUCKET_MS));
    // Subjects come from tokens and may be long.
    const key = subject.length > MAX_KEY_CHARS ? hash('sha256', subject, 'base64') : subject;
    const slot = slotFor(key);
    if (slot === undefined) {
      const cells = sketch.cellsOf(key);
      sketch.add(cells, now);
      return sketch.count(cells, now - BUCKETS + 1, now);
    }
    const start = slot * BUCKETS;
    const silentSince = Math.max(latest[slot] ?? 0, now - BUCKETS);
    for (let bucket = silentSince + 1; bucket <= now; bucket++) counts[start + (bucket % BUCKETS)] = 0;
    latest[slot] = now;
    const current = start + (now % BUCKETS);
    counts[current] = (counts[current] ?? 0) + 1;
    let total = 0;
    for (let i = 0; i < BUCKETS; i++) total += counts[start + i] ?? 0;
    const until = sketchedUntil[slot] ?? 0;
    return until > now - BUCKETS ? total + sketch.count(sketch.cellsOf(key), now - BUCKETS + 1, until) : total;
  };
}

type Slots = {
  readonly get: (key: string) => number | undefined;
  readonly isFull: () => boolean;
  /** The slot that was neither assigned nor touched for longest. */
  readonly oldest: () => number | undefined;
  readonly touch: (slot: number) => void;
  /** A slot for a new key: an unused one, else the oldest one, whose key is forgotten. */
  readonly assign: (key: string) => number;
};

/** A list through arrays: the first key of a Map that many were deleted from takes long to find. */
function createSlots(capacity: number): Slots {
  const byKey = new Map<string, number>();
  const keys: string[] = [];
  // The last place is the end of the ring.
  const before = new Int32Array(capacity + 1).fill(capacity);
  const after = new Int32Array(capacity + 1).fill(capacity);
  const at = (list: Int32Array, slot: number): number => list[slot] ?? capacity;

  function unlink(slot: number): void {
    after[at(before, slot)] = at(after, slot);
    before[at(after, slot)] = at(before, slot);
  }
  function append(slot: number): void {
    const last = at(before, capacity);
    after[last] = slot;
    before[slot] = last;
    after[slot] = capacity;
    before[capacity] = slot;
  }
  const oldest = (): number | undefined => (keys.length === 0 ? undefined : at(after, capacity));

  return {
    get: (key) => byKey.get(key),
    isFull: () => keys.length === capacity,
    oldest,
    touch: (slot) => {
      unlink(slot);
      append(slot);
    },
    assign: (key) => {
      let slot = keys.length;
      if (slot === capacity) {
        slot = at(after, capacity);
        unlink(slot);
        byKey.delete(keys[slot] ?? '');
      }
      keys[slot] = key;
      byKey.set(key, slot);
      append(slot);
      return slot;
    },
  };
}

const ROWS = 4;

type Sketch = {
  /** What stands for a key below. */
  readonly cellsOf: (key: string) => readonly number[];
  readonly add: (mine: readonly number[], bucket: number) => void;
  /** At least the number of times that the key was added in these buckets. */
  readonly count: (mine: readonly number[], from: number, to: number) => number;
  /** Whether nothing was added in the window that ends with this bucket. */
  readonly isEmpty: (bucket: number) => boolean;
};

/** A count-min sketch with conservative update, one per bucket (https://doi.org/10.1016/j.jalgor.2003.12.001). */
function createSketch(subjects: number): Sketch {
  const width = Math.min(65_536, Math.max(1024, 2 ** Math.ceil(Math.log2(subjects))));
  // Without a secret, subjects could be chosen that count for somebody else.
  const secret = randomBytes(32).toString('base64');
  const tables: ({ bucket: number; readonly cells: Uint32Array } | undefined)[] = new Array(BUCKETS).fill(undefined);
  let last = Number.NEGATIVE_INFINITY;

  function cellsOf(key: string): number[] {
    const digest = hash('sha256', secret + key, 'buffer');
    return Array.from({ length: ROWS }, (_, row) => row * width + (digest.readUInt32LE(row * 4) % width));
  }

  return {
    isEmpty: (bucket) => last <= bucket - BUCKETS,
    cellsOf,
    add: (mine, bucket) => {
      const at = bucket % BUCKETS;
      let table = tables[at];
      if (table === undefined) {
        table = { bucket, cells: new Uint32Array(ROWS * width) };
        tables[at] = table;
      } else if (table.bucket !== bucket) {
        table.cells.fill(0);
        table.bucket = bucket;
      }
      last = bucket;
      const { cells } = table;
      const next = Math.min(...mine.map((cell) => cells[cell] ?? 0)) + 1;
      for (const cell of mine) cells[cell] = Math.max(cells[cell] ?? 0, next);
    },
    count: (mine, from, to) => {
      let total = 0;
      for (const table of tables) {
        if (table === undefined || table.bucket < from || table.bucket > to) continue;
        total += Math.min(...mine.map((cell) => table.cells[cell] ?? 0));
      }
      return total;
    },
  };
}
