import assert from 'node:assert/strict';
import { isIPv4 } from 'node:net';
import { describe, test } from 'node:test';
import ipaddr from 'ipaddr.js';
import { Reader, type Response } from 'mmdb-lib';
import { type Mmdb, openMmdb } from '../../src/lib/mmdb.ts';
import { MmdbError, type MmdbValue } from '../../src/lib/mmdb-decode.ts';
import { anonymous, asn, BUILT, city, craftedDatabase, craftedMetadata, databaseOf } from '../support/mmdb.ts';

const bytesOf = (address: string): readonly number[] => ipaddr.parse(address).toByteArray();

/** Objects with a prototype, bytes as lists, so that two readers can be compared. */
function plain(value: MmdbValue | null | undefined): unknown {
  if (value === undefined || value === null) return null;
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

const addresses = [
  ...['203.0.113.0', '203.0.113.7', '203.0.113.8', '203.0.113.9', '203.0.113.127', '203.0.113.128', '203.0.114.0'],
  ...['198.51.100.255', '0.0.0.0', '255.255.255.255', '127.0.0.1'],
  ...['2001:db8:1::1', '2001:db8:2::1', '2001:db9::', '::', '::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ...['::ffff:203.0.113.7', '2002:cb00:7107::1'],
];
const odd = [
  [
    '203.0.113.0/24',
    {
      numbers: [{ uint16: 0 }, { uint16: 65_535 }, { uint32: 4_294_967_295 }, { int32: -2_147_483_648 }, { int32: 5 }],
      large: [{ uint64: '18446744073709551615' }, { uint128: '340282366920938463463374607431768211455' }],
      zero: [{ uint64: '0' }, { uint128: '0' }, { uint32: 0 }, { int32: 0 }],
      fractions: [1.5, -1e300, { float32: 0.25 }],
      nested: { empty: {}, none: [], '': 'empty key', __proto__x: true },
      bytes: { bytes: 'AAECAw==' },
      lengths: ['x'.repeat(28), 'x'.repeat(29), 'x'.repeat(284), 'x'.repeat(285), 'é'.repeat(400)],
      flags: [true, false],
    },
  ],
  ['198.51.100.0/24', 'a text'],
  ['2001:db8::/32', [1, 'list']],
] as const;

describe('a database', () => {
  const made = [
    ...([24, 28, 32] as const).map((recordSize) => [city, { recordSize }] as const),
    ...([24, 28, 32] as const).map((recordSize) => [anonymous, { recordSize, ipVersion: 4 }] as const),
    ...[[asn, {}] as const, [odd, {}] as const],
  ];
  for (const [networks, options] of made) {
    const name = JSON.stringify({ ...options, first: networks[0]?.[0], of: networks.length });
    test(`says of every address what another reader says: ${name}`, () => {
      const content = databaseOf('Test', networks, options);
      const [ours, other] = [openMmdb(content), new Reader<Response>(content)];
      let found = 0;
      for (const address of addresses) {
        const isIpv4 = isIPv4(address);
        // The other reader takes the first bits of an IPv6 address for an IPv4 one.
        if (!isIpv4 && other.metadata.ipVersion === 4) continue;
        const record = ours.find(bytesOf(address));
        if (record !== undefined) found++;
        assert.deepEqual(plain(record), plain(other.get(address) as MmdbValue | null), address);
      }
      assert.ok(found >= 3);
    });
  }

  test('tells its type and when it was built', () => {
    const { type, builtMs } = openMmdb(databaseOf('GeoLite2-City', city));
    assert.deepEqual([type, builtMs], ['GeoLite2-City', BUILT * 1000]);
  });

  test('of IPv4 knows nothing of an IPv6 address', () => {
    const database = openMmdb(databaseOf('Test', [['32.1.13.184/32', { a: 1 }]], { ipVersion: 4 }));
    assert.ok(database.find(bytesOf('32.1.13.184')) !== undefined);
    assert.equal(database.find(bytesOf('2001:db8::1')), undefined);
  });

  test('leaves out what is not wanted, at any depth', () => {
    const database = openMmdb(databaseOf('Test', city));
    const wanted = new Set(['city', 'names', 'en', 'subdivisions', 'iso_code']);
    assert.deepEqual(plain(database.find(bytesOf('203.0.113.1'), wanted)), {
      city: { names: { en: 'Berlin' } },
      subdivisions: [{ iso_code: 'BE', names: { en: 'Land Berlin' } }],
    });
  });

  test('has keys that mean something elsewhere as keys', () => {
    const networks = [['203.0.113.0/24', JSON.parse('{"__proto__": {"polluted": true}, "constructor": "c"}')]] as const;
    const record = openMmdb(databaseOf('Test', networks)).find(bytesOf('203.0.113.1'));
    assert.deepEqual(Object.keys(record as object).sort(), ['__proto__', 'constructor']);
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });
});

/** Fails unless what happens is a value or an MmdbError. Returns the error's message. */
function attempt(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof MmdbError, String(error));
    return error.message;
  }
}

const asked = ['203.0.113.7', '198.51.100.1', '2001:db8:1::1', '::'].map(bytesOf);

/** Opens what may be a database and asks it. */
function questions(content: Buffer): void {
  let database: Mmdb | undefined;
  attempt(() => (database = openMmdb(content)));
  for (const address of database === undefined ? [] : asked) attempt(() => database?.find(address));
}

describe('a file that is no sound database', () => {
  test('is refused when it is cut off anywhere', () => {
    const content = databaseOf('Test', city);
    for (let length = 0; length < content.length; length++) {
      const message = attempt(() => openMmdb(content.subarray(0, length)));
      assert.notEqual(message, undefined, `${length} of ${content.length} bytes`);
    }
    assert.equal(
      attempt(() => openMmdb(content)),
      undefined,
    );
  });

  test('never does more than fail in its own way, whichever byte is another one', () => {
    for (const networks of [city, odd].map((list) => list.filter(([network]) => !network.includes(':')))) {
      const content = databaseOf('Test', networks, { recordSize: 24, ipVersion: 4 });
      for (let at = 0; at < content.length; at++) {
        const before = content.readUInt8(at);
        for (const flipped of [before ^ 0xff, before ^ 1, 0x3f]) {
          content.writeUInt8(flipped, at);
          questions(content);
        }
        content.writeUInt8(before, at);
      }
    }
  });

  for (const [name, content, reason] of [
    ['an empty file', Buffer.alloc(0), /no metadata/],
    ['a page of HTML', Buffer.from('<html>not found</html>'), /no metadata/],
    ['metadata alone', craftedDatabase(Buffer.alloc(0)).subarray(22), /cut off/],
    ['a marker alone', Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1'), /outside/],
    ['metadata that is a number', craftedDatabase(Buffer.alloc(9), Buffer.from([0xa1, 5])), /version/],
    ['metadata that is a list', craftedDatabase(Buffer.alloc(9), Buffer.from([0x00, 0x04])), /version/],
    ['a version to come', craftedDatabase(Buffer.alloc(9), craftedMetadata({ version: 3 })), /version/],
    ['a tree of odd nodes', craftedDatabase(Buffer.alloc(9), craftedMetadata({ size: 30 })), /record_size/],
    ['addresses of no kind', craftedDatabase(Buffer.alloc(9), craftedMetadata({ ip: 5 })), /ip_version/],
    ['a tree without nodes', craftedDatabase(Buffer.alloc(9), craftedMetadata({ nodes: 0 })), /node_count/],
    ['more nodes than bytes', craftedDatabase(Buffer.alloc(9), craftedMetadata({ nodes: 4e9 })), /no room/],
    ['a gap that is none', craftedDatabase(Buffer.alloc(99, 7), craftedMetadata({ nodes: 5 })), /no gap/],
  ] as const) {
    test(`is refused: ${name}`, () => assert.match(attempt(() => openMmdb(content)) ?? 'opened', reason));
  }

  test('is found by the last metadata in it, not further from the end than 128 KiB', () => {
    const content = databaseOf('Test', [['203.0.113.0/24', '\u00ab\u00cd\u00efMaxMind.com']]);
    assert.equal(openMmdb(content).type, 'Test');
    assert.match(attempt(() => openMmdb(Buffer.concat([content, Buffer.alloc(140_000)]))) ?? '', /no metadata/);
  });
});

describe('a record that is a trap', () => {
  /** Lists of three, each of which leads three times to the next one: 3^60 values. */
  const laughter = Buffer.concat([
    ...Array.from({ length: 60 }, (_, i) => {
      const next = (i + 1) * 8;
      const pointer = [0x20 | (next >> 8), next & 0xff];
      return Buffer.from([0x03, 0x04, ...pointer, ...pointer, ...pointer]);
    }),
    Buffer.from([0xa1, 7]),
  ]);
  const nest = (bytes: readonly number[], times: number): Buffer =>
    Buffer.concat(Array.from({ length: times }, () => Buffer.from(bytes)));
  for (const [name, data, reason] of [
    ['a pointer to itself', Buffer.from([0x20, 0x00]), /leads to a pointer/],
    ['two pointers in a circle', Buffer.from([0x20, 0x02, 0x20, 0x00]), /leads to a pointer/],
    ['a list that has itself in it', Buffer.from([0x01, 0x04, 0x20, 0x00]), /too deeply/],
    ['an object that has itself in it', Buffer.from([0xe1, 0x41, 0x61, 0x20, 0x00]), /too deeply/],
    ['few bytes that stand for very many values', laughter, /too deeply|too many/],
    ['lists of 16 million in each other', nest([0x1f, 0x04, 0xff, 0xff, 0xff], 5000), /too many/],
    ['an object of 16 million entries', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x41, 0x61]), /too many/],
    ['10,000 lists in each other', nest([0x01, 0x04], 10_000), /too deeply/],
    ['a text of 16 MiB that is not there', Buffer.from([0x5f, 0xff, 0xff, 0xff, 0x61]), /beyond the end/],
    [
      'a text of 1 MiB',
      Buffer.concat([Buffer.from([0x5f, 0x0e, 0xfe, 0xe3]), Buffer.alloc(1_048_576)]),
      /too much text/,
    ],
    ['a pointer to nowhere', Buffer.from([0x38, 0xff, 0xff, 0xff, 0xff]), /out of the section/],
    ['a pointer that ends early', Buffer.from([0x38, 0xff]), /beyond the end/],
    ['a double of two bytes', Buffer.from([0x62, 1, 2]), /wrong size/],
    ['an integer of nine bytes', Buffer.from([0x09, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 9]), /wrong size/],
    ['a boolean that is 2', Buffer.from([0x02, 0x07]), /wrong size/],
    ['a key that is a number', Buffer.from([0xe1, 0xa1, 5, 0xa1, 5]), /no text/],
    ['a type that is none', Buffer.from([0x00, 0x09]), /unknown type/],
    ['the end marker', Buffer.from([0x00, 0x06]), /unknown type/],
    ['nothing', Buffer.alloc(0), /outside/],
  ] as const) {
    test(`is an error at once: ${name}`, () => {
      const database = openMmdb(craftedDatabase(data));
      for (const wanted of [undefined, new Set(['other'])]) {
        const startMs = performance.now();
        const message = attempt(() => database.find([203, 0, 113, 1], wanted));
        if (wanted === undefined) assert.match(message ?? 'a value', reason);
        assert.ok(performance.now() - startMs < 1000, 'it takes no time');
      }
    });
  }

  test('leads no other address astray', () => {
    const content = databaseOf('Test', [
      ['203.0.113.0/25', Array.from({ length: 5000 }, (_, i) => `text ${i}`)],
      ['203.0.113.128/25', { country: { iso_code: 'DE' } }],
    ]);
    const database = openMmdb(content);
    assert.match(attempt(() => database.find([203, 0, 113, 1])) ?? 'a value', /too many/);
    assert.deepEqual(plain(database.find([203, 0, 113, 200])), { country: { iso_code: 'DE' } });
  });
});
