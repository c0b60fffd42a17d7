import ipaddr from 'ipaddr.js';
import { LRUCache } from 'lru-cache';
import type { Mmdb } from '../lib/mmdb.ts';
import { type Geo, geoOfRecord, noFlags, nothing, wantedKeys } from './geo-record.ts';

export type GeoOptions<T extends Mmdb> = {
  /** Those of now, as a list that is never changed but replaced. */
  readonly databases: () => readonly T[];
  /** A record could not be read; the database then knows nothing of the address. */
  readonly onFailure: (database: T, error: unknown) => void;
};

/** About 1 KiB each. */
const MAX_REMEMBERED = 10_000;

/**
 * What becomes `input.context.geo` of an address: of each part what the first database says that says anything, unless
 * it belongs to another country, and of flags whether any says true. Null when no database says anything. Never throws.
 */
export function createGeo<T extends Mmdb>({
  databases,
  onFailure,
}: GeoOptions<T>): (address: string | null) => Geo | null {
  const remembered = new LRUCache<string, { readonly geo: Geo | null }>({ max: MAX_REMEMBERED });
  let current: readonly T[] = [];

  function find(address: string): Geo | null {
    const bytes = ipaddr.parse(address).toByteArray();
    let geo: Geo | undefined;
    for (const database of current) {
      try {
        const found = geoOfRecord(database.find(bytes, wantedKeys), database.type);
        geo = geo === undefined ? found : merge(geo, found);
      } catch (error) {
        onFailure(database, error);
      }
    }
    return geo === undefined || Object.values(geo).every((value) => value === null) ? null : geo;
  }

  return (address) => {
    if (address === null) return null;
    const now = databases();
    if (now !== current) {
      current = now;
      remembered.clear();
    }
    let entry = remembered.get(address);
    if (entry === undefined) {
      entry = { geo: find(address) };
      remembered.set(address, entry);
    }
    return entry.geo;
  };
}

type Key = keyof Geo;
const keys = Object.keys(nothing) as readonly Key[];
const flags: ReadonlySet<Key> = new Set(Object.keys(noFlags) as Key[]);
/** What is only true of the country that it was said of. */
const ofCountry: ReadonlySet<Key> = new Set<Key>([
  'in_european_union',
  'continent',
  'subdivisions',
  'city',
  'postal_code',
  'location',
  'time_zone',
]);

function merge(first: Geo, second: Geo): Geo {
  const isElsewhere = first.country !== null && second.country !== null && first.country !== second.country;
  const merged: { [key: string]: unknown } = {};
  for (const key of keys) {
    if (isElsewhere && ofCountry.has(key)) merged[key] = first[key];
    else if (flags.has(key)) merged[key] = first[key] === true || second[key] === true || (first[key] ?? second[key]);
    else merged[key] = first[key] ?? second[key];
  }
  return merged as Geo;
}
