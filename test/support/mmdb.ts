import { execFileSync } from 'node:child_process';
import { tool } from './process.ts';

/** Numbers of a record are doubles; `{ uint16: 5 }` and the like have a type of their own, bytes are base64. */
export type Network = readonly [cidr: string, record: unknown];

export type DatabaseOptions = {
  readonly ipVersion?: 4 | 6;
  readonly recordSize?: 24 | 28 | 32;
  /** Seconds since the epoch. */
  readonly built?: number;
};

export const BUILT = 1_790_000_000;

/** The content of a database file, as MaxMind's own writer has it (test/support/mmdb/main.go). */
export function databaseOf(type: string, networks: readonly Network[], options: DatabaseOptions = {}): Buffer {
  const { ipVersion = 6, recordSize = 28, built = BUILT } = options;
  const wanted = { type, ip_version: ipVersion, record_size: recordSize, build_epoch: built, networks };
  return execFileSync(tool('mmdb'), [], { input: JSON.stringify(wanted), maxBuffer: 268_435_456 });
}

const uint32 = { uint32: 0 };
const names = (en: string): object => ({ de: `${en} (de)`, en, ja: '名前', 'pt-BR': `${en} (pt)` });
const country = (iso: string, name: string, extra: object = {}): object => ({
  geoname_id: { uint32: 2_921_044 },
  iso_code: iso,
  names: names(name),
  ...extra,
});

/** As GeoLite2-City has them. */
export const city: readonly Network[] = [
  [
    '203.0.113.0/25',
    {
      city: { geoname_id: uint32, names: names('Berlin') },
      continent: { code: 'EU', geoname_id: uint32, names: names('Europe') },
      country: country('DE', 'Germany', { is_in_european_union: true }),
      location: { accuracy_radius: { uint16: 20 }, latitude: 52.52, longitude: 13.405, time_zone: 'Europe/Berlin' },
      postal: { code: '10117' },
      registered_country: country('CH', 'Switzerland'),
      subdivisions: [{ geoname_id: uint32, iso_code: 'BE', names: names('Land Berlin') }],
    },
  ],
  [
    '198.51.100.0/24',
    {
      continent: { code: 'NA', geoname_id: uint32, names: names('North America') },
      country: country('US', 'United States'),
      registered_country: country('US', 'United States'),
      represented_country: country('DE', 'Germany', { type: 'military' }),
    },
  ],
  [
    '2001:db8:1::/48',
    {
      continent: { code: 'AS', geoname_id: uint32, names: names('Asia') },
      country: country('JP', 'Japan'),
      location: { accuracy_radius: { uint16: 100 }, latitude: 35.68, longitude: 139.75, time_zone: 'Asia/Tokyo' },
    },
  ],
];

/** As GeoLite2-ASN has them. */
export const asn: readonly Network[] = [
  [
    '203.0.113.0/24',
    { autonomous_system_number: { uint32: 64_496 }, autonomous_system_organization: 'Example Networks' },
  ],
  ['2001:db8::/32', { autonomous_system_number: { uint32: 4_200_000_000 } }],
];

/** As GeoIP2-Anonymous-IP has them: only what is true. */
export const anonymous: readonly Network[] = [
  ['203.0.113.7/32', { is_anonymous: true, is_tor_exit_node: true }],
  ['203.0.113.8/32', { is_anonymous: true, is_hosting_provider: true }],
  ['203.0.113.9/32', {}],
];

const text = (value: string): Buffer => Buffer.concat([Buffer.from([0x40 | value.length]), Buffer.from(value)]);
const int = (control: number, value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return Buffer.concat([Buffer.from([control]), bytes]);
};

/** A database of one node, made by hand, that leads every address to the beginning of the data, which may be anything. */
export function craftedDatabase(data: Buffer, metadata: Buffer = craftedMetadata()): Buffer {
  const tree = Buffer.from([0, 0, 17, 0, 0, 17]);
  const marker = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
  return Buffer.concat([tree, Buffer.alloc(16), data, marker, metadata]);
}

export function craftedMetadata(
  over: { readonly nodes?: number; readonly size?: number; readonly ip?: number; readonly version?: number } = {},
): Buffer {
  const { nodes = 1, size = 24, ip = 4, version = 2 } = over;
  return Buffer.concat([
    Buffer.from([0xe6]),
    ...[text('node_count'), int(0xc4, nodes), text('record_size'), Buffer.from([0xa1, size])],
    ...[text('ip_version'), Buffer.from([0xa1, ip]), text('build_epoch'), Buffer.from([0x04, 0x02, 0x60, 0, 0, 0])],
    ...[text('binary_format_major_version'), Buffer.from([0xa1, version]), text('database_type'), text('crafted')],
  ]);
}
