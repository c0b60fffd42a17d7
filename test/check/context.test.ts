import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createContext, createRateCounter } from '../../src/check/context.ts';
import type { Identity } from '../../src/model/identity.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { parseExact, stringify } from '../../src/values/json.ts';
import { type FactsLike, facts } from '../support/facts.ts';

const now = Date.UTC(2026, 10, 24, 22, 0, 5, 7);

describe('time', () => {
  const timeAt = (ms: number, timeZone = 'UTC'): JsonObject =>
    createContext({ trustedHops: null, timeZone }, { wallMs: () => ms })(facts(), undefined)['time'] as JsonObject;
  const inZone = (iso: string, zone: string): unknown => {
    const { rfc3339, hour, weekday } = timeAt(Date.parse(iso), zone);
    return [rfc3339, hour, weekday];
  };

  test('in nanoseconds keeps every digit', () => {
    assert.equal(stringify(timeAt(now)['ns'] ?? null), '1795557605007000000');
    assert.equal(stringify(timeAt(0)['ns'] ?? null), '0');
    assert.equal(stringify(timeAt(1.9)['ns'] ?? null), '1000000');
    assert.equal(stringify(timeAt(-1)['ns'] ?? null), '-1000000');
  });

  for (const [iso, zone, want] of [
    ['2026-11-24T22:00:05.007Z', 'UTC', ['2026-11-24T22:00:05.007Z', 22, 'Tuesday']],
    ['2026-11-24T23:59:59.999Z', 'Europe/Berlin', ['2026-11-25T00:59:59.999+01:00', 0, 'Wednesday']],
    ['2026-07-01T23:30:00Z', 'Europe/London', ['2026-07-02T00:30:00.000+01:00', 0, 'Thursday']],
    ['2026-01-01T00:30:00Z', 'Europe/London', ['2026-01-01T00:30:00.000Z', 0, 'Thursday']],
    ['2026-03-08T06:59:59Z', 'America/New_York', ['2026-03-08T01:59:59.000-05:00', 1, 'Sunday']],
    ['2026-03-08T07:00:00Z', 'America/New_York', ['2026-03-08T03:00:00.000-04:00', 3, 'Sunday']],
    ['2026-11-24T18:20:00Z', 'Asia/Kathmandu', ['2026-11-25T00:05:00.000+05:45', 0, 'Wednesday']],
    ['2026-11-24T02:00:00Z', 'America/St_Johns', ['2026-11-23T22:30:00.000-03:30', 22, 'Monday']],
    ['2026-11-24T11:00:00Z', 'Pacific/Kiritimati', ['2026-11-25T01:00:00.000+14:00', 1, 'Wednesday']],
    ['1970-01-01T00:00:00Z', 'UTC', ['1970-01-01T00:00:00.000Z', 0, 'Thursday']],
    ['1969-12-27T23:00:00Z', 'UTC', ['1969-12-27T23:00:00.000Z', 23, 'Saturday']],
  ] as const) {
    test(`at ${iso} in ${zone} is ${want.join(' ')}`, () => assert.deepEqual(inZone(iso, zone), want));
  }

  test('follows a clock that jumps back and forth over a change of the offset', () => {
    let ms = Date.parse('2026-03-29T00:59:59.999Z');
    const context = createContext({ trustedHops: null, timeZone: 'Europe/Berlin' }, { wallMs: () => ms });
    const hour = (): unknown => (context(facts(), undefined)['time'] as JsonObject)['hour'];
    assert.equal(hour(), 1);
    ms += 1;
    assert.equal(hour(), 3);
    ms -= 1;
    assert.equal(hour(), 1);
    ms += 3_600_000;
    assert.equal(hour(), 3);
  });

  test('in a zone that does not exist is an error at the start', () => {
    for (const timeZone of ['', 'Mars/Olympus', 'Europe/Berlin ', '../etc/passwd']) {
      assert.throws(() => createContext({ trustedHops: null, timeZone }, { wallMs: () => now }), RangeError);
    }
  });
});

describe('geo', () => {
  const contextWith = (geoOf?: (clientIp: string | null) => JsonObject | null, over: FactsLike = {}) =>
    createContext({ trustedHops: 0, timeZone: 'UTC' }, { wallMs: () => now, ...(geoOf && { geoOf }) })(
      facts({ sourceAddress: '::ffff:192.0.2.9', ...over }),
      undefined,
    );

  test('is that of client_ip, as it is spelt there', () => {
    const context = contextWith((clientIp) => ({ asked: clientIp }));
    assert.deepEqual([context['client_ip'], context['geo']], ['192.0.2.9', { asked: '192.0.2.9' }]);
    const unknown = contextWith((clientIp) => ({ asked: clientIp }), { sourceAddress: '' });
    assert.deepEqual([unknown['client_ip'], unknown['geo']], [null, { asked: null }]);
  });

  test('is not there when nobody is asked for it', () => {
    assert.ok(!('geo' in contextWith()));
  });
});

describe('client_ip', () => {
  const clientIp = (over: FactsLike, trustedHops: number | null): unknown =>
    createContext({ trustedHops, timeZone: 'UTC' }, { wallMs: () => now })(facts(over), undefined)['client_ip'];
  const ofHeader = (value: string, hops: number): unknown =>
    clientIp({ sourceAddress: '192.0.2.9', headers: { 'x-forwarded-for': value } }, hops);

  test('is who connected, whatever the header says, without trusted hops', () => {
    for (const hops of [null, 0]) {
      const headers = { 'x-forwarded-for': '203.0.113.1', forwarded: 'for=203.0.113.1', 'x-real-ip': '203.0.113.1' };
      assert.equal(clientIp({ sourceAddress: '192.0.2.9', headers }, hops), '192.0.2.9');
      assert.equal(clientIp({ sourceAddress: '::ffff:192.0.2.9' }, hops), '192.0.2.9');
    }
  });

  for (const sourceAddress of ['', 'localhost', '192.0.2.9:80']) {
    test(`is null when the source is ${JSON.stringify(sourceAddress)}`, () => {
      assert.equal(clientIp({ sourceAddress }, null), null);
    });
  }

  for (const [value, hops, want] of [
    // As Envoy 1.40 with use_remote_address hands on `203.0.113.7, 198.51.100.2` from 192.0.2.2.
    ['203.0.113.7, 198.51.100.2,192.0.2.2', 1, '192.0.2.2'],
    ['203.0.113.7, 198.51.100.2,192.0.2.2', 2, '198.51.100.2'],
    ['203.0.113.7, 198.51.100.2,192.0.2.2', 3, '203.0.113.7'],
    ['203.0.113.7, 198.51.100.2,192.0.2.2', 4, null],
    ['203.0.113.7', 1, '203.0.113.7'],
    [' \t203.0.113.7 \t', 1, '203.0.113.7'],
    ['garbage, 203.0.113.7', 1, '203.0.113.7'],
    ['garbage, 203.0.113.7', 2, null],
    ['203.0.113.7, unknown', 1, null],
    ['203.0.113.7, unknown', 2, null],
    ['203.0.113.7, ', 1, null],
    ['203.0.113.7,,192.0.2.2', 2, null],
    ['203.0.113.7,,192.0.2.2', 3, null],
    [',203.0.113.7', 2, null],
    [',', 1, null],
    [',', 3, null],
    ['', 1, null],
    ['203.0.113.7', 1_000_000_000, null],
    ['2001:DB8:0:0:0:0:0:1', 1, '2001:db8::1'],
    ['2001:0db8::0001', 1, '2001:db8::1'],
    ['::', 1, '::'],
    ['::ffff:203.0.113.7', 1, '203.0.113.7'],
    ['::FFFF:cb00:7107', 1, '203.0.113.7'],
    ['0:0:0:0:0:ffff:203.0.113.7', 1, '203.0.113.7'],
    ['[2001:db8::1]', 1, null],
    ['[2001:db8::1]:443', 1, null],
    ['203.0.113.7:443', 1, null],
    ['fe80::1%eth0', 1, null],
    ['fe80::1%25', 1, null],
    ['203.0.113', 1, null],
    ['203.0.113.7.1', 1, null],
    ['203.0.113.256', 1, null],
    ['203.0.113.07', 1, null],
    ['0xcb007107', 1, null],
    ['3405803783', 1, null],
    ['0313.0.0161.7', 1, null],
    ['203.0.113.7/32', 1, null],
    ['203.0.113.7;', 1, null],
    ['"203.0.113.7"', 1, null],
    ['for=203.0.113.7', 1, null],
    ['203.0.113.7 192.0.2.2', 1, null],
    ['203.0.113.7\u0000', 1, null],
    ['203.0.113.7\n', 1, null],
    ['203.0.113.7\u00a0', 1, null],
    ['٢٠٣.0.113.7', 1, null],
    ['1::2::3', 1, null],
    [':::', 1, null],
    ['localhost', 1, null],
    [' '.repeat(100_000), 1, null],
    ['9'.repeat(100_000), 1, null],
    [`${'a,'.repeat(100_000)}203.0.113.7`, 1, '203.0.113.7'],
    [`${'203.0.113.7,'.repeat(50_000)}x`, 3, null],
  ] as const) {
    test(`of ${JSON.stringify(value.slice(0, 40))} with ${hops} hops is ${want}`, () => {
      assert.equal(ofHeader(value, hops), want);
    });
  }

  test('counts over all x-forwarded-for headers, in the order they came', () => {
    const headerList = [['X-Forwarded-For', '203.0.113.1'] as const, ['x-forwarded-for', 'x, 203.0.113.2'] as const];
    assert.equal(clientIp({ headerList }, 1), '203.0.113.2');
    assert.equal(clientIp({ headerList }, 2), null);
    assert.equal(clientIp({ headerList: [...headerList].reverse() }, 1), '203.0.113.1');
    assert.equal(clientIp({ headers: { 'X-FORWARDED-FOR': '203.0.113.1' } }, 1), '203.0.113.1');
  });

  test('is null when the header is absent, or its order is not known', () => {
    assert.equal(clientIp({ sourceAddress: '192.0.2.9' }, 1), null);
    const headers = { 'x-forwarded-for': '203.0.113.1', 'X-Forwarded-For': '203.0.113.2' };
    assert.equal(clientIp({ headers }, 1), null);
    const both = { headers: { 'x-forwarded-for': '203.0.113.1' }, headerList: [['x-forwarded-for', '::1'] as const] };
    assert.equal(clientIp(both, 1), null);
    assert.equal(clientIp({ headers: { x_forwarded_for: '203.0.113.1' } }, 1), null);
  });
});

describe('authentication_age_seconds', () => {
  const ageOf = (identity: Identity | undefined): unknown =>
    createContext({ trustedHops: null, timeZone: 'UTC' }, { wallMs: () => 1_000_000_500 })(facts(), identity)[
      'authentication_age_seconds'
    ];
  const at = (authTime: unknown): unknown =>
    ageOf({ authenticated: true, claims: { auth_time: authTime } as JsonObject });

  test('is how long ago auth_time was', () => {
    assert.equal(at(999_940), 60);
    assert.equal(at(999_999.5), 0.5);
    assert.equal(at(0), 1_000_000);
  });

  test('is null when auth_time is no number, or nobody is authenticated', () => {
    const exact = parseExact('{"big": 99999999999999999999, "huge": 1e400}') as JsonObject;
    for (const value of [undefined, null, '999940', true, [999_940], {}, Number.NaN, exact['big'], exact['huge']]) {
      assert.equal(at(value), null);
    }
    assert.equal(ageOf(undefined), null);
    assert.equal(ageOf({ authenticated: true }), null);
    assert.equal(ageOf({ authenticated: false, claims: { auth_time: 999_940 } }), null);
  });

  test('is 0 when a clock is a little late, and null when auth_time is far in the future', () => {
    assert.equal(at(1_000_001), 0);
    assert.equal(at(1_000_060), 0);
    assert.equal(at(1_000_061), null);
    assert.equal(at(1e308), null);
    assert.equal(at(Number.POSITIVE_INFINITY), null);
  });
});

describe('request', () => {
  const request = (over: FactsLike): unknown =>
    createContext({ trustedHops: null, timeZone: 'UTC' }, { wallMs: () => now })(facts(over), undefined)['request'];
  const lengthOf = (text: string): unknown =>
    (request({ headers: { 'content-length': text } }) as JsonObject)['content_length'];

  test('tells the declared type and length, and what was received', () => {
    const headers = { 'Content-Type': 'text/plain; charset=utf-8', 'CONTENT-LENGTH': '9' };
    assert.deepEqual(request({ headers, body: 'äb' }), {
      content_type: 'text/plain; charset=utf-8',
      content_length: 9,
      body_bytes: 3,
    });
    assert.deepEqual(request({ rawBody: new Uint8Array(5) }), {
      content_type: null,
      content_length: null,
      body_bytes: 5,
    });
  });

  test('tells no length that is none', () => {
    for (const text of ['', '-1', '+1', '1.0', '1e3', '0x10', ' 1', '1,1', '1, 2', 'x', '9'.repeat(16)]) {
      assert.equal(lengthOf(text), null, text);
    }
    assert.equal(lengthOf('0'), 0);
    assert.equal(lengthOf('007'), 7);
  });

  test('tells no header that comes twice', () => {
    const headerList = [['content-type', 'a'] as const, ['Content-Type', 'b'] as const];
    assert.deepEqual(request({ headerList }), { content_type: null, content_length: null, body_bytes: 0 });
    const headers = { 'content-type': 'a', 'Content-Type': 'b', 'content-length': '1', 'Content-Length': '2' };
    assert.deepEqual(request({ headers }), { content_type: null, content_length: null, body_bytes: 0 });
  });
});

describe('the rate of a subject', () => {
  const counter = (maxSubjects: number) => {
    const clock = { ms: 1_000_000 };
    return { clock, count: createRateCounter({ maxSubjects, monotonicMs: () => clock.ms }) };
  };

  test('counts each request, of each subject for itself', () => {
    const { count } = counter(10);
    assert.deepEqual([count('a'), count('a'), count('b'), count('a')], [1, 2, 1, 3]);
    for (const name of ['', '__proto__', 'constructor', 'A', 'a ', 'x'.repeat(10_000)]) assert.equal(count(name), 1);
    assert.equal(count('x'.repeat(10_000)), 2);
    assert.equal(count(`${'x'.repeat(9999)}y`), 1);
  });

  test('slides over the last minute', () => {
    const { clock, count } = counter(10);
    for (let second = 0; second < 60; second++) {
      assert.equal(count('a'), second + 1);
      clock.ms += 1000;
    }
    for (let second = 0; second < 300; second++) {
      const rate = count('a');
      assert.ok(rate >= 60 && rate <= 66, String(rate));
      clock.ms += 1000;
    }
    clock.ms += 65_000;
    assert.equal(count('a'), 1);
  });

  test('is not changed by a clock that goes back', () => {
    const { clock, count } = counter(10);
    for (let i = 0; i < 5; i++) count('a');
    clock.ms -= 900_000;
    assert.equal(count('a'), 6);
    clock.ms += 900_000;
    assert.equal(count('a'), 7);
  });

  test('of an active subject is not forgotten to make room', () => {
    const { clock, count } = counter(8);
    let expected = 0;
    for (let round = 0; round < 50; round++) {
      expected++;
      assert.equal(count('victim'), expected);
      for (let i = 0; i < 100; i++) count(`flood-${round}-${i}`);
      clock.ms += 1000;
    }
  });

  test('of a subject that finds no room is never too low, nor is it when there is room again', () => {
    const { clock, count } = counter(2);
    count('a');
    count('b');
    clock.ms += 30_000;
    for (let i = 1; i <= 20; i++) assert.equal(count('late'), i);
    clock.ms += 36_000;
    // The slots of the silent ones are free now; what was counted without one still counts.
    assert.equal(count('late'), 21);
    assert.equal(count('late'), 22);
    clock.ms += 30_000;
    assert.equal(count('late'), 3);
  });

  test('room is made for new subjects once the old ones are silent', () => {
    const { clock, count } = counter(3);
    for (const name of ['a', 'b', 'c']) count(name);
    clock.ms += 30_000;
    count('b');
    clock.ms += 36_000;
    for (const name of ['d', 'e']) assert.equal(count(name), 1);
    assert.equal(count('b'), 2);
    clock.ms += 1000;
    assert.equal(count('b'), 3);
  });

  test('is at least the true one, whatever happens', () => {
    const { clock, count } = counter(16);
    let seed = 1;
    const random = (below: number): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    const times = new Map<string, number[]>();
    for (let i = 0; i < 20_000; i++) {
      clock.ms += random(200) + (random(500) === 0 ? 70_000 : 0);
      const name = `s${random(4) === 0 ? random(1000) : random(12)}`;
      const mine = (times.get(name) ?? []).filter((at) => at > clock.ms - 60_000);
      mine.push(clock.ms);
      times.set(name, mine);
      const rate = count(name);
      assert.ok(rate >= mine.length, `${name}: ${rate} for ${mine.length}`);
    }
  });

  test('of a million subjects takes bounded memory and leaves the others theirs', () => {
    const { count } = counter(10_000);
    count('victim');
    const before = process.memoryUsage();
    for (let i = 0; i < 1_000_000; i++) count(`subject-${i}`);
    global.gc?.();
    const after = process.memoryUsage();
    const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
    assert.ok(grown < 128 * 1_048_576, `${grown} bytes`);
    assert.equal(count('victim'), 2);
  });
});
