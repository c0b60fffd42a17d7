import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createGeo } from '../../src/check/geo.ts';
import { type Geo, nothing } from '../../src/check/geo-record.ts';
import { type Mmdb, openMmdb } from '../../src/lib/mmdb.ts';
import { anonymous, asn, city, craftedDatabase, databaseOf, type Network } from '../support/mmdb.ts';

const open = (type: string, networks: readonly Network[]): Mmdb => openMmdb(databaseOf(type, networks));

type Asked = { readonly geoOf: (address: string | null) => Geo | null; readonly failures: string[] };

function asked(...databases: readonly Mmdb[]): Asked {
  const failures: string[] = [];
  const geoOf = createGeo({ databases: () => databases, onFailure: ({ type }) => failures.push(type) });
  return { geoOf, failures };
}

/** What one database with one record says. */
const said = (record: object, type = 'Test'): Geo | null =>
  asked(open(type, [['203.0.113.0/24', record]])).geoOf('203.0.113.1');
const known = (geo: Geo | null): object =>
  Object.fromEntries(Object.entries(geo ?? {}).filter(([, value]) => value !== null));
const flags = (geo: Geo | null): object => {
  const {
    anonymous: any,
    anonymous_vpn,
    hosting_provider,
    public_proxy,
    residential_proxy,
    tor_exit_node,
  } = geo ?? nothing;
  return { any, vpn: anonymous_vpn, hosting: hosting_provider, proxy: public_proxy, residential_proxy, tor_exit_node };
};
const none = { any: false, vpn: false, hosting: false, proxy: false, residential_proxy: false, tor_exit_node: false };
const unknown = { any: null, vpn: null, hosting: null, proxy: null, residential_proxy: null, tor_exit_node: null };

describe('geography', () => {
  const cities = open('GeoLite2-City', city);
  const systems = open('GeoLite2-ASN', asn);
  const anonymizers = open('GeoIP2-Anonymous-IP', anonymous);

  test('has every part, null where nothing is known', () => {
    assert.deepEqual(asked(cities).geoOf('203.0.113.1'), {
      ...nothing,
      country: 'DE',
      registered_country: 'CH',
      in_european_union: true,
      continent: 'EU',
      subdivisions: ['BE'],
      city: 'Berlin',
      postal_code: '10117',
      location: { latitude: 52.52, longitude: 13.405, accuracy_radius_km: 20 },
      time_zone: 'Europe/Berlin',
    });
    assert.deepEqual(Object.keys(asked(cities).geoOf('203.0.113.1') ?? {}), Object.keys(nothing));
  });

  test('is null when the address is not known, or nobody knows it', () => {
    const { geoOf, failures } = asked(cities, systems);
    for (const address of [null, '192.0.2.1', '::1', '2001:db9::1']) assert.equal(geoOf(address), null);
    assert.equal(asked().geoOf('203.0.113.1'), null);
    assert.deepEqual(failures, []);
  });

  test('of a base of another country names that, too', () => {
    const { country, represented_country, in_european_union } = asked(cities).geoOf('198.51.100.7') ?? nothing;
    assert.deepEqual([country, represented_country, in_european_union], ['US', 'DE', false]);
  });

  test('of an IPv6 address is there as well', () => {
    assert.deepEqual(known(asked(cities, systems).geoOf('2001:db8:1::1')), {
      country: 'JP',
      in_european_union: false,
      continent: 'AS',
      location: { latitude: 35.68, longitude: 139.75, accuracy_radius_km: 100 },
      time_zone: 'Asia/Tokyo',
      asn: 4_200_000_000,
    });
  });

  test('comes from several databases, the earlier ones first', () => {
    const other = open('Other', [
      ['203.0.113.0/24', { country: { iso_code: 'DE' }, city: { names: { en: 'Potsdam' } }, isp: 'An ISP' }],
    ]);
    const {
      city: name,
      isp,
      asn: number,
      organization,
    } = asked(cities, systems, other).geoOf('203.0.113.1') ?? nothing;
    assert.deepEqual([name, isp, number, organization], ['Berlin', 'An ISP', 64_496, 'Example Networks']);
    assert.equal(asked(other, cities).geoOf('203.0.113.1')?.city, 'Potsdam');
    assert.equal(asked(other, cities).geoOf('203.0.113.1')?.time_zone, 'Europe/Berlin');
  });

  test('does not put a place into a country that another database does not have it in', () => {
    const austrian = open('Other', [['203.0.113.0/24', { country: { iso_code: 'AT' }, traits: { isp: 'An ISP' } }]]);
    assert.deepEqual(known(asked(austrian, cities).geoOf('203.0.113.1')), {
      country: 'AT',
      registered_country: 'CH',
      in_european_union: false,
      isp: 'An ISP',
    });
  });

  test('follows its databases when they are replaced, whatever was asked before', () => {
    let databases: readonly Mmdb[] = [cities];
    const geoOf = createGeo({ databases: () => databases, onFailure: () => assert.fail() });
    assert.equal(geoOf('203.0.113.1')?.country, 'DE');
    databases = [open('GeoLite2-City', [['203.0.113.0/24', { country: { iso_code: 'FR' } }]])];
    assert.equal(geoOf('203.0.113.1')?.country, 'FR');
    databases = [];
    assert.equal(geoOf('203.0.113.1'), null);
  });

  test('is what the other databases say where the record of one cannot be read', () => {
    const huge = open('Huge', [['203.0.113.0/24', { names: Array.from({ length: 5000 }, (_, i) => `n${i}`) }]]);
    const broken = openMmdb(craftedDatabase(Buffer.from([0x20, 0x00])));
    const { geoOf, failures } = asked(huge, broken, systems);
    assert.equal(geoOf('203.0.113.1')?.asn, 64_496);
    assert.deepEqual(failures, ['Huge', 'crafted']);
    geoOf('203.0.113.1');
    assert.equal(failures.length, 2, 'it is remembered');
    assert.equal(asked(broken).geoOf('203.0.113.1'), null);
    const failing = { ...anonymizers, find: () => assert.fail('whatever it is') };
    assert.equal(asked(failing, systems).geoOf('203.0.113.1')?.anonymous, null, 'not that it is not anonymous');
  });

  test('bounds what it takes over', () => {
    const long = 'x'.repeat(201);
    const record = {
      city: { names: { en: long } },
      isp: long,
      subdivisions: Array.from({ length: 100 }, (_, i) => ({ iso_code: `S${i}` })),
      unwanted: 'x'.repeat(100_000),
    };
    const geo = said(record) ?? nothing;
    assert.deepEqual([geo.city, geo.isp, geo.subdivisions?.length], [null, null, 8]);
  });

  test('takes nothing from parts of another shape', () => {
    const odd = {
      city: { names: ['Berlin'] },
      continent: { uint32: 1 },
      country: { iso_code: 'DEU' },
      location: { latitude: 91, longitude: 13, accuracy_radius: 5, time_zone: { bytes: 'AAEC' } },
      postal: 10_117,
      registered_country: ['CH'],
      subdivisions: { iso_code: 'BE' },
      traits: 'isp',
      autonomous_system_number: { uint128: '340282366920938463463374607431768211455' },
      autonomous_system_organization: { uint64: '7' },
      is_anonymous: 'maybe',
      isp: true,
    };
    assert.deepEqual(known(said(odd)), { in_european_union: false });
    for (const record of ['DE', [1, 2], { uint64: '9' }]) assert.equal(said(record as object), null);
  });

  for (const [latitude, longitude] of [
    [-90.5, 0],
    [0, 180.5],
    [1e308, 0],
  ]) {
    test(`has no location at ${latitude}, ${longitude}`, () => {
      assert.equal(said({ country: { iso_code: 'DE' }, location: { latitude, longitude } })?.location, null);
    });
  }
});

describe('anonymity', () => {
  const anonymizers = open('GeoIP2-Anonymous-IP', anonymous);

  test('is told by the flags of the address, which are false where they are left out', () => {
    const { geoOf } = asked(anonymizers);
    assert.deepEqual(flags(geoOf('203.0.113.7')), { ...none, any: true, tor_exit_node: true });
    assert.deepEqual(flags(geoOf('203.0.113.8')), { ...none, any: true, hosting: true });
    assert.deepEqual(flags(geoOf('203.0.113.9')), none);
  });

  test('is denied of addresses that a database of anonymizers does not have', () => {
    assert.deepEqual(flags(asked(anonymizers).geoOf('192.0.2.1')), none);
    assert.deepEqual(flags(asked(open('GeoIP-Anonymous-Plus', anonymous)).geoOf('192.0.2.1')), none);
    const privacy = open('ipinfo standard_privacy.mmdb', [['203.0.113.0/24', { vpn: true }]]);
    assert.deepEqual(flags(asked(privacy).geoOf('192.0.2.1')), { ...none, residential_proxy: null });
    const proxies = open('GeoIP-Residential-Proxy', [['203.0.113.0/24', { provider_name: 'p' }]]);
    assert.deepEqual(flags(asked(proxies).geoOf('192.0.2.1')), { ...unknown, residential_proxy: false });
    assert.deepEqual(flags(asked(proxies).geoOf('203.0.113.1')), { ...unknown, any: true, residential_proxy: true });
    assert.equal(asked(anonymizers).geoOf(null), null);
  });

  test('is not known from databases that do not speak of it', () => {
    assert.deepEqual(flags(asked(open('GeoLite2-City', city)).geoOf('203.0.113.1')), unknown);
    assert.deepEqual(flags(said({ traits: { is_anycast: true } })), unknown);
  });

  test('is there when any of several databases says so', () => {
    const proxies = open('GeoIP-Residential-Proxy', [['203.0.113.9/32', { provider_name: 'p' }]]);
    for (const databases of [
      [anonymizers, proxies],
      [proxies, anonymizers],
    ]) {
      const geo = asked(...databases).geoOf('203.0.113.9');
      assert.deepEqual(flags(geo), { ...none, any: true, residential_proxy: true });
    }
  });
});

describe("records of each maker's databases", () => {
  const place = { subdivisions: ['GD'], city: 'Shenzhen', postal_code: '518000', time_zone: 'Asia/Shanghai' };
  const location = { latitude: 22.54554, longitude: 114.0683, accuracy_radius_km: 100 };
  for (const [name, type, record, want] of [
    [
      'MaxMind Enterprise',
      'GeoIP2-Enterprise',
      {
        country: { iso_code: 'IR', confidence: { uint16: 99 } },
        traits: {
          autonomous_system_number: { uint32: 44_244 },
          autonomous_system_organization: 'Irancell',
          connection_type: 'Cellular',
          is_anycast: true,
          is_anonymous_proxy: true,
          isp: 'MTN',
          organization: 'somebody',
          user_type: 'cellular',
        },
      },
      {
        ...{ country: 'IR', in_european_union: false, asn: 44_244, organization: 'Irancell', isp: 'MTN' },
        ...{ connection_type: 'Cellular', user_type: 'cellular', anonymous: true, anycast: true },
      },
    ],
    [
      'MaxMind ISP',
      'GeoIP2-ISP',
      {
        autonomous_system_number: { uint32: 1221 },
        autonomous_system_organization: 'Telstra Pty Ltd',
        isp: 'Telstra Internet',
        organization: 'Telstra Internet',
      },
      { asn: 1221, organization: 'Telstra Pty Ltd', isp: 'Telstra Internet' },
    ],
    [
      'MaxMind Connection-Type',
      'GeoIP2-Connection-Type',
      { connection_type: 'Cable/DSL' },
      { connection_type: 'Cable/DSL' },
    ],
    [
      'traits with flags',
      'GeoIP2-Precision-Enterprise',
      { traits: { is_anonymous: true, is_anonymous_vpn: true } },
      {
        ...{ anonymous: true, anonymous_vpn: true, hosting_provider: false, public_proxy: false },
        ...{ residential_proxy: false, tor_exit_node: false },
      },
    ],
    [
      'DB-IP Lite, which has names only',
      'DBIP-City-Lite',
      {
        city: { names: { en: 'Mountain View' } },
        continent: { code: 'NA' },
        country: { iso_code: 'US', is_in_european_union: false },
        location: { latitude: { float32: 37.5 }, longitude: { float32: -122.25 } },
        subdivisions: [{ names: { en: 'California' } }],
      },
      {
        ...{ country: 'US', in_european_union: false, continent: 'NA', subdivisions: ['California'] },
        ...{ city: 'Mountain View', location: { latitude: 37.5, longitude: -122.25, accuracy_radius_km: null } },
      },
    ],
    [
      'IPinfo Lite',
      'ipinfo bundle_location_lite.mmdb',
      {
        ...{ as_domain: 'enecom.co.jp', as_name: 'Enecom,Inc.', asn: 'AS18144' },
        ...{ continent: 'Asia', continent_code: 'AS', country: 'Japan', country_code: 'JP' },
      },
      { country: 'JP', continent: 'AS', asn: 18_144, organization: 'Enecom,Inc.' },
    ],
    [
      'IPinfo Country + ASN, with empty texts',
      'ipinfo generic_country_free_country_asn.mmdb',
      {
        as_domain: '',
        as_name: '',
        asn: '',
        continent: 'AS',
        continent_name: 'Asia',
        country: 'CN',
        country_name: 'China',
      },
      { country: 'CN', continent: 'AS' },
    ],
    [
      'IPinfo ASN, whose country is not that of the address',
      'ipinfo standard_asn_new.mmdb',
      { asn: 'AS18144', country: 'JP', domain: 'enecom.co.jp', name: 'Enecom,Inc.', type: 'business' },
      { asn: 18_144, organization: 'Enecom,Inc.' },
    ],
    [
      'IPinfo Company',
      'ipinfo standard_company.mmdb',
      { as_name: 'TOT', asn: 'AS23969', country: 'TH', name: 'Dynamic IP Addresses', type: 'business' },
      { asn: 23_969, organization: 'TOT' },
    ],
    [
      'IPinfo Geolocation, all in texts',
      'ipinfo extended_location_v2.mmdb',
      {
        ...{ city: 'Shenzhen', country: 'CN', country_name: 'China', latitude: '22.54554', longitude: '114.0683' },
        ...{ postal_code: '518000', radius: '100', region: 'GD', region_name: 'Guangdong', timezone: 'Asia/Shanghai' },
      },
      { country: 'CN', ...place, location },
    ],
    [
      'IPinfo Geolocation, older',
      'ipinfo standard_location_mmdb.mmdb',
      {
        ...{ city: 'Shenzhen', country: 'CN', lat: '22.54554', lng: '114.0683', postal_code: '518000' },
        ...{ region: 'Guangdong', region_code: 'GD', timezone: 'Asia/Shanghai' },
      },
      { country: 'CN', ...place, location: { ...location, accuracy_radius_km: null } },
    ],
    [
      'IPinfo Plus',
      'ipinfo bundle_location_plus.mmdb',
      {
        ...{ city: 'Shenzhen', continent: 'Asia', continent_code: 'AS', country: 'China', country_code: 'CN' },
        ...{ is_anonymous: true, is_anycast: false, is_hosting: false, is_mobile: false, is_proxy: false },
        ...{ is_relay: true, is_satellite: false, is_tor: false, is_vpn: false, latitude: 22.54554 },
        ...{ longitude: 114.0683, postal_code: '518000', radius: { int32: 100 }, region: 'Guangdong' },
        ...{ region_code: 'GD', timezone: 'Asia/Shanghai' },
      },
      {
        ...{ country: 'CN', continent: 'AS', ...place, location, anonymous: true, anonymous_vpn: false },
        ...{ hosting_provider: false, public_proxy: false, tor_exit_node: false, anycast: false },
      },
    ],
    [
      'IPinfo Core, which does not tell why',
      'ipinfo bundle_location_core.mmdb',
      { country: 'China', country_code: 'CN', is_anonymous: true, is_anycast: false, is_hosting: true },
      { country: 'CN', anonymous: true, hosting_provider: true, anycast: false },
    ],
    [
      'IPinfo Privacy, all in texts',
      'ipinfo standard_privacy.mmdb',
      { hosting: 'true', proxy: '', relay: 'true', service: '', tor: '', vpn: 'false' },
      { anonymous: true, anonymous_vpn: false, hosting_provider: true, public_proxy: false, tor_exit_node: false },
    ],
    [
      'IPinfo Privacy',
      'ipinfo standard_privacy_new.mmdb',
      { hosting: true, proxy: false, relay: false, tor: false, vpn: false },
      { anonymous: false, anonymous_vpn: false, hosting_provider: true, public_proxy: false, tor_exit_node: false },
    ],
    [
      'IPinfo Residential Proxy',
      'ipinfo generic_privacy_proxy_residential_30d.mmdb',
      { last_seen: '2026-07-12', percent_days_seen: { uint32: 3 }, service: 's' },
      { anonymous: true, residential_proxy: true },
    ],
    ['ip-location-db', 'dbip-country', { country_code: 'jp' }, { country: 'JP' }],
  ] as const) {
    test(`have one form: ${name}`, () => assert.deepEqual(known(said(record, type)), want));
  }
});
