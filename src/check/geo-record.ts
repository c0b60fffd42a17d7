import type { MmdbObject, MmdbValue } from '../lib/mmdb-decode.ts';

/**
 * What is known of an address, whoever made the database; null where nothing is. Codes: ISO 3166-1 (countries) and
 * 3166-2 (subdivisions, the largest first; a name in English where the database has no code); continents as MaxMind has them.
 */
export type Geo = {
  /** Where the address is used. */
  readonly country: string | null;
  /** Where its network is registered. */
  readonly registered_country: string | null;
  /** Whose base or embassy it is. */
  readonly represented_country: string | null;
  readonly in_european_union: boolean | null;
  readonly continent: string | null;
  readonly subdivisions: readonly string[] | null;
  /** In English. */
  readonly city: string | null;
  readonly postal_code: string | null;
  readonly location: {
    readonly latitude: number;
    readonly longitude: number;
    readonly accuracy_radius_km: number | null;
  } | null;
  /** IANA name. */
  readonly time_zone: string | null;
  readonly asn: number | null;
  /** Whose autonomous system it is. */
  readonly organization: string | null;
  readonly isp: string | null;
  readonly connection_type: string | null;
  readonly user_type: string | null;
  /** A VPN, a proxy, a Tor exit or a relay. */
  readonly anonymous: boolean | null;
  readonly anonymous_vpn: boolean | null;
  readonly hosting_provider: boolean | null;
  readonly public_proxy: boolean | null;
  readonly residential_proxy: boolean | null;
  readonly tor_exit_node: boolean | null;
  readonly anycast: boolean | null;
};

type Flags = Pick<
  Geo,
  | 'anonymous'
  | 'anonymous_vpn'
  | 'hosting_provider'
  | 'public_proxy'
  | 'residential_proxy'
  | 'tor_exit_node'
  | 'anycast'
>;

export const noFlags: Flags = {
  anonymous: null,
  anonymous_vpn: null,
  hosting_provider: null,
  public_proxy: null,
  residential_proxy: null,
  tor_exit_node: null,
  anycast: null,
};

export const nothing: Geo = {
  country: null,
  registered_country: null,
  represented_country: null,
  in_european_union: null,
  continent: null,
  subdivisions: null,
  city: null,
  postal_code: null,
  location: null,
  time_zone: null,
  asn: null,
  organization: null,
  isp: null,
  connection_type: null,
  user_type: null,
  ...noFlags,
};

/** Every key, at any depth, that is read below. */
export const wantedKeys: ReadonlySet<string> = new Set(
  `accuracy_radius anycast as_name asn autonomous_system_number autonomous_system_organization city code connection_type
   continent continent_code country country_code en hosting is_anonymous is_anonymous_proxy is_anonymous_vpn is_anycast
   is_hosting is_hosting_provider is_in_european_union is_proxy is_public_proxy is_relay is_residential_proxy is_tor
   is_tor_exit_node is_vpn iso_code isp lat latitude lng location longitude name names postal postal_code proxy radius
   region region_code registered_country relay represented_country subdivisions time_zone timezone tor traits user_type
   vpn`.split(/\s+/),
);

/**
 * A record in the normal form: MaxMind's (City, Country, Enterprise, ISP, ASN, Connection-Type, Anonymous-IP and -Plus,
 * Residential-Proxy: https://dev.maxmind.com/geoip/docs/databases), DB-IP's, which has the same shape, and IPinfo's flat
 * ones. Undefined stands for an address that the database does not have.
 */
export function geoOfRecord(record: MmdbValue | undefined, databaseType: string): Geo {
  const flat = objectOf(record);
  if (flat === undefined) return record === undefined ? { ...nothing, ...flagsOfAbsent(databaseType) } : nothing;
  const traits = objectOf(flat['traits']);
  const of = (key: string): MmdbValue | undefined => flat[key] ?? traits?.[key];
  const country = objectOf(flat['country']);
  return {
    country: country === undefined ? flatCountry(flat) : code(country['iso_code']),
    registered_country: code(objectOf(flat['registered_country'])?.['iso_code']),
    represented_country: code(objectOf(flat['represented_country'])?.['iso_code']),
    // The key is left out where it is false.
    in_european_union: country === undefined ? null : country['is_in_european_union'] === true,
    continent: code(objectOf(flat['continent'])?.['code']) ?? code(flat['continent_code']) ?? code(flat['continent']),
    ...placeOf(flat),
    asn: asnOf(of('autonomous_system_number') ?? flat['asn']),
    organization:
      text(of('autonomous_system_organization')) ??
      text(flat['as_name']) ??
      (flat['asn'] === undefined ? null : text(flat['name'])),
    isp: text(of('isp')),
    connection_type: text(of('connection_type')),
    user_type: text(of('user_type')),
    ...flagsOf(flat, traits, databaseType),
  };
}

/** In a flat record with a name the country is that of the organization, not that of the address. */
const flatCountry = (flat: MmdbObject): string | null =>
  flat['name'] === undefined ? (code(flat['country_code']) ?? code(flat['country'])) : null;

type Place = Pick<Geo, 'subdivisions' | 'city' | 'postal_code' | 'location' | 'time_zone'>;

function placeOf(flat: MmdbObject): Place {
  const city = objectOf(flat['city']);
  const location = objectOf(flat['location']);
  const latitude = numberOf((location ?? flat)['latitude'] ?? flat['lat'], -90, 90);
  const longitude = numberOf((location ?? flat)['longitude'] ?? flat['lng'], -180, 180);
  return {
    subdivisions: subdivisionsOf(flat),
    city: city === undefined ? text(flat['city']) : english(city),
    postal_code: text(objectOf(flat['postal'])?.['code']) ?? text(flat['postal_code']),
    location:
      latitude === null || longitude === null
        ? null
        : {
            latitude,
            longitude,
            accuracy_radius_km: numberOf(location?.['accuracy_radius'] ?? flat['radius'], 0, 20_040),
          },
    time_zone: text(location?.['time_zone']) ?? text(flat['timezone']) ?? text(flat['time_zone']),
  };
}

const MAX_SUBDIVISIONS = 8;

function subdivisionsOf(flat: MmdbObject): readonly string[] | null {
  const { subdivisions } = flat;
  const names = Array.isArray(subdivisions)
    ? subdivisions.slice(0, MAX_SUBDIVISIONS).map((item: MmdbValue) => {
        const subdivision = objectOf(item);
        return text(subdivision?.['iso_code']) ?? english(subdivision);
      })
    : [text(flat['region_code']) ?? text(flat['region'])];
  const known = names.filter((name) => name !== null);
  return known.length === 0 ? null : known;
}

const RESIDENTIAL_PROXIES = /residential[-_ ]?proxy|proxy[-_ ]residential/i;
const MAXMIND_ANONYMIZERS = /anonymous/i;
const IPINFO_PRIVACY = /privacy/i;

/** A database of anonymizers says of those that it does not have that they are none. */
function flagsOfAbsent(databaseType: string): Flags {
  if (RESIDENTIAL_PROXIES.test(databaseType)) return { ...noFlags, residential_proxy: false };
  const isMaxmind = MAXMIND_ANONYMIZERS.test(databaseType);
  if (!isMaxmind && !IPINFO_PRIVACY.test(databaseType)) return noFlags;
  return {
    anonymous: false,
    anonymous_vpn: false,
    hosting_provider: false,
    public_proxy: false,
    residential_proxy: isMaxmind ? false : null,
    tor_exit_node: false,
    anycast: null,
  };
}

function flagsOf(flat: MmdbObject, traits: MmdbObject | undefined, databaseType: string): Flags {
  if (RESIDENTIAL_PROXIES.test(databaseType)) return { ...noFlags, anonymous: true, residential_proxy: true };
  const maxmind = (key: string): boolean | null => flag(flat[key]) ?? flag(traits?.[key]);
  const ours = {
    anonymous_vpn: maxmind('is_anonymous_vpn'),
    hosting_provider: maxmind('is_hosting_provider'),
    public_proxy: maxmind('is_public_proxy'),
    residential_proxy: maxmind('is_residential_proxy'),
    tor_exit_node: maxmind('is_tor_exit_node'),
  };
  // MaxMind writes only the flags that are true, so that one of them speaks for all.
  const speaks = MAXMIND_ANONYMIZERS.test(databaseType) || Object.values(ours).some((value) => value !== null);
  const other = speaks ? false : null;
  const flags = {
    anonymous_vpn: ours.anonymous_vpn ?? flag(flat['is_vpn'] ?? flat['vpn']) ?? other,
    hosting_provider: ours.hosting_provider ?? flag(flat['is_hosting'] ?? flat['hosting']) ?? other,
    public_proxy: ours.public_proxy ?? flag(flat['is_proxy'] ?? flat['proxy']) ?? other,
    residential_proxy: ours.residential_proxy ?? other,
    tor_exit_node: ours.tor_exit_node ?? flag(flat['is_tor'] ?? flat['tor']) ?? other,
  };
  const { anonymous_vpn: vpn, public_proxy: proxy, residential_proxy: residential, tor_exit_node: tor } = flags;
  const isAny = [vpn, proxy, residential, tor, flag(flat['is_relay'] ?? flat['relay'])].includes(true);
  const isNone = vpn === false && proxy === false && tor === false;
  return {
    anonymous: isAny || (maxmind('is_anonymous') ?? maxmind('is_anonymous_proxy') ?? (isNone ? false : null)),
    ...flags,
    anycast: maxmind('is_anycast') ?? flag(flat['anycast']),
  };
}

const MAX_TEXT = 200;

const objectOf = (value: MmdbValue | undefined): MmdbObject | undefined =>
  typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array)
    ? (value as MmdbObject)
    : undefined;

const text = (value: MmdbValue | undefined): string | null =>
  typeof value === 'string' && value !== '' && value.length <= MAX_TEXT ? value : null;

const english = (value: MmdbObject | undefined): string | null => text(objectOf(value?.['names'])?.['en']);

const code = (value: MmdbValue | undefined): string | null =>
  typeof value === 'string' && /^[A-Za-z]{2}$/.test(value) ? value.toUpperCase() : null;

/** IPinfo has numbers, flags and autonomous systems as texts, too. */
function numberOf(value: MmdbValue | undefined, lowest: number, highest: number): number | null {
  const number = typeof value === 'string' && /^-?[0-9]{1,10}(?:\.[0-9]{1,20})?$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && number >= lowest && number <= highest ? number : null;
}

const asnOf = (value: MmdbValue | undefined): number | null => {
  const number = numberOf(typeof value === 'string' ? value.replace(/^AS/, '') : value, 1, 4_294_967_295);
  return Number.isInteger(number) ? number : null;
};

function flag(value: MmdbValue | undefined): boolean | null {
  if (typeof value === 'boolean') return value;
  return value === 'true' ? true : value === 'false' || value === '' ? false : null;
}
