import { LRUCache } from 'lru-cache';
import { ZONE_TABLE } from './zone-table.ts';

/*
 * Time zones as Go's LoadLocation takes them (https://pkg.go.dev/time#LoadLocation): offsets from Intl, names and
 * abbreviations from our own table. Both agree with Go's data since 1970, as far as the releases of the database are the
 * same. Before that Intl has one history for zones that were merged since, and abbreviations may be other ones.
 */

export type Zone = {
  /** Seconds east of UTC; `seconds` since the epoch. */
  readonly offsetAt: (seconds: number) => number;
  /** Such as CET; `offset` is the zone's at `seconds`. */
  readonly abbreviation: (seconds: number, offset: number) => string;
  /** The offset that an abbreviation means at a local time, `seconds` since the epoch as if that were UTC. */
  readonly offsetOf: (abbreviation: string, seconds: number) => number | undefined;
};

/** What an offset is called: each abbreviation until a time, s since the epoch. */
type Era = { readonly until: number; readonly abbreviation: string };
type Abbreviations = ReadonlyMap<number, readonly Era[]>;

/** A formatter takes about 30 KB. */
const zones = new LRUCache<string, Zone>({ max: 128 });

export const utc: Zone = { offsetAt: () => 0, abbreviation: () => 'UTC', offsetOf: () => undefined };

let local: Zone | undefined;

/** The zone that this process runs in (TZ). */
export function localZone(): Zone {
  local ??= loadZone(new Intl.DateTimeFormat().resolvedOptions().timeZone) ?? utc;
  return local;
}

/** The zone of an IANA name, spelled exactly; the empty name is UTC, `Local` the process's own. Undefined when there is none. */
export function loadZone(name: string): Zone | undefined {
  if (name === '' || name === 'UTC') return utc;
  if (name === 'Local') return localZone();
  const known = zones.get(name);
  if (known !== undefined) return known;
  const abbreviations = abbreviationsOf(name);
  if (abbreviations === undefined) return undefined;
  const format = offsetFormat(name);
  if (format === undefined) return undefined;
  const zone = createZone((seconds) => readOffset(format.format(seconds * 1000)), abbreviations);
  zones.set(name, zone);
  return zone;
}

function createZone(offsetAt: (seconds: number) => number, abbreviations: Abbreviations): Zone {
  const abbreviation = (seconds: number, offset: number): string =>
    abbreviations.get(offset)?.find(({ until }) => seconds < until)?.abbreviation ?? numericAbbreviation(offset);
  const offsetOf = (wanted: string, seconds: number): number | undefined => {
    const offsets = [...abbreviations].filter(([, eras]) => eras.some((era) => era.abbreviation === wanted));
    const inForce = offsets.find(([offset]) => {
      const at = seconds - offset;
      return abbreviation(at, offsetAt(at)) === wanted;
    });
    return inForce === undefined ? offsets[0]?.[0] : offsetAt(seconds - inForce[0]);
  };
  return { offsetAt, abbreviation, offsetOf };
}

/** Undefined when Intl does not know the zone. */
function offsetFormat(name: string): Intl.DateTimeFormat | undefined {
  try {
    // The minutes keep the whole date away, which would take longer to write.
    return new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset', minute: '2-digit' });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** From text that ends in `GMT`, `GMT+01:00` or `GMT-00:44:30`. */
function readOffset(text: string): number {
  const from = text.indexOf('GMT') + 3;
  if (from >= text.length) return 0;
  const [hours = 0, minutes = 0, seconds = 0] = text
    .slice(from + 1)
    .split(':')
    .map(Number);
  const offset = (hours * 60 + minutes) * 60 + seconds;
  return text[from] === '-' ? -offset : offset;
}

/** Such as +0530; local mean time where it is not even a whole minute. */
function numericAbbreviation(offset: number): string {
  if (offset % 60 !== 0) return 'LMT';
  const minutes = Math.abs(offset) / 60;
  const two = (n: number): string => String(n).padStart(2, '0');
  const rest = minutes % 60 === 0 ? '' : two(minutes % 60);
  return `${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}${rest}`;
}

let table: ReadonlyMap<string, string> | undefined;
let supported: ReadonlySet<string> | undefined;

/** Undefined for names that are none. Intl alone would take any case and names that are not of the database. */
function abbreviationsOf(name: string): Abbreviations | undefined {
  table ??= readTable();
  const spec = table.get(name);
  if (spec !== undefined) return readAbbreviations(spec);
  supported ??= new Set(Intl.supportedValuesOf('timeZone'));
  return supported.has(name) ? new Map() : undefined;
}

function readTable(): ReadonlyMap<string, string> {
  const specs = new Map<string, string>();
  for (const line of ZONE_TABLE.trim().replaceAll('\n ', ' ').split('\n')) {
    const [spec = '', names = ''] = line.split(': ');
    let prefix = '';
    for (const name of names.split(' ')) {
      if (name.endsWith('/')) prefix = name;
      else specs.set(prefix + name, spec);
    }
  }
  return specs;
}

function readAbbreviations(spec: string): Abbreviations {
  const abbreviations = new Map<number, readonly Era[]>();
  for (const entry of spec === '' ? [] : spec.split(' ')) {
    const [hours = '', names = ''] = entry.split('=');
    const parts = names.split('<');
    const eras = parts.flatMap((abbreviation, i) => {
      const end = parts[i + 1];
      const until = end === undefined ? Number.POSITIVE_INFINITY : Date.parse(end) / 1000;
      return i % 2 === 0 ? [{ until, abbreviation }] : [];
    });
    abbreviations.set(Math.round(Number(hours) * 3600), eras);
  }
  return abbreviations;
}
