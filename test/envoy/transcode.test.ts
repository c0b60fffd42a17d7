import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { scrub, scrubTarget } from '../../src/decisions/scrub.ts';
import { decode, tableOf } from '../../src/envoy/decode.ts';
import { CheckRequestSchema } from '../../src/envoy/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { planOf } from '../../src/envoy/message-plan.ts';
import { readRequest } from '../../src/envoy/request.ts';
import { transcode, transcodeRead } from '../../src/envoy/transcode.ts';
import type { Json, JsonObject } from '../../src/model/json.ts';
import type { Reads } from '../../src/model/reads.ts';
import { parseExact } from '../../src/values/json.ts';
import { pruned } from '../../src/values/request-message.ts';
import { readGroups } from '../support/cases.ts';
import { encodeRequest } from '../support/grpc.ts';
import { createRandom, type Random } from '../support/random.ts';
import { randomRequest } from '../support/random-request.ts';

const table = tableOf(CheckRequestSchema);
const plan = planOf(CheckRequestSchema, {});
const plain = (value: Json): unknown => JSON.parse(JSON.stringify(value));

/** The message by both ways; undefined when it is unusual. */
function both(bytes: Buffer): { readonly text: string; readonly tree: JsonObject } | undefined {
  const transcoded = transcode(bytes, plan);
  if (transcoded === undefined) return undefined;
  const tree = decode(bytes, table);
  assert.deepEqual(plain(parseExact(transcoded.text)), plain(tree), bytes.toString('hex'));
  const { places, spans } = transcoded.strings;
  assert.equal(spans.length, places.length * 3);
  places.forEach(({ path, name, lower }, i) => {
    const value = path.reduce<Json | undefined>((at, key) => (at as JsonObject | undefined)?.[key], tree);
    assert.equal(JSON.parse(transcoded.text.slice(spans[i * 3], spans[i * 3 + 1])), value);
    assert.deepEqual([name, lower], [path.at(-1), path.at(-1)?.toLowerCase()]);
    // Long texts are not looked through.
    if (spans[i * 3 + 2] !== 0 || String(value).length > 16_384) return;
    for (const look of [scrub, scrubTarget]) assert.equal(look(String(value)), value, 'a suspect was not marked');
  });
  return { text: transcoded.text, tree };
}

/** A part of a document, or more than there is. */
function anyReads(random: Random, value: Json): Reads {
  if (random.below(5) === 0 || typeof value !== 'object' || value === null || Array.isArray(value)) return true;
  const reads: { [name: string]: Reads } = { none: true };
  for (const [name, member] of Object.entries(value as JsonObject)) {
    if (random.below(2) === 0)
      Object.defineProperty(reads, name, { value: anyReads(random, member), enumerable: true });
  }
  return reads;
}

describe('a message is the same text as by way of a tree', () => {
  test('for requests of every sort, as a whole and in what is read of it', () => {
    const random = createRandom(3);
    let usual = 0;
    for (let i = 0; i < 5000; i++) {
      const bytes = randomRequest(random);
      const found = both(bytes);
      if (found === undefined) continue;
      usual++;
      const reads = anyReads(random, found.tree);
      const read = parseExact(transcodeRead(bytes, plan, reads));
      const wanted = pruned(found.tree, reads) as JsonObject;
      for (const { path } of leavesOf(wanted)) assert.deepEqual(at(read, path), at(wanted, path), path.join('.'));
      for (const { path } of leavesOf(read as JsonObject)) assert.ok(at(wanted, path) !== undefined, path.join('.'));
    }
    assert.ok(usual > 1500, `${usual} were usual`);
  });

  test('for the recorded requests', () => {
    const requests = readGroups().flatMap(({ cases }) => cases.map(({ request }) => Buffer.from(request)));
    assert.ok(requests.filter((bytes) => both(bytes) !== undefined).length > requests.length / 2);
  });

  test('for bytes that were damaged, which are never taken for something else', () => {
    const random = createRandom(5);
    let read = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = randomRequest(random);
      if (bytes.length === 0) continue;
      for (let flips = random.below(4); flips >= 0; flips--) bytes[random.below(bytes.length)] = random.below(256);
      const damaged = random.below(3) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
      if (both(damaged) !== undefined) read++;
    }
    assert.ok(read > 1000, `${read} were read`);
  });
});

type Leaf = { readonly path: readonly string[] };

function leavesOf(value: Json, path: readonly string[] = []): readonly Leaf[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [{ path }];
  const members = Object.entries(value as JsonObject);
  return members.length === 0 ? [{ path }] : members.flatMap(([name, member]) => leavesOf(member, [...path, name]));
}

const at = (value: Json, path: readonly string[]): unknown =>
  path.reduce<unknown>((found, name) => (found as JsonObject | undefined)?.[name], plain(value));

describe('what is unusual is left to the other way', () => {
  const field = (tag: number, content: Uint8Array | string): Buffer =>
    Buffer.concat([Buffer.from([tag, Buffer.byteLength(content)]), Buffer.from(content)]);
  const request = (...http: readonly Buffer[]): Buffer =>
    field(
      0x0a,
      field(
        0x22,
        http.map((one) => field(0x12, one)).reduce((all, one) => Buffer.concat([all, one])),
      ),
    );
  const header = (name: string, value: string): Buffer =>
    field(0x1a, Buffer.concat([field(0x0a, name), field(0x12, value)]));
  const [method, path] = [field(0x12, 'GET'), field(0x22, '/')];
  const cases: readonly (readonly [string, Buffer])[] = [
    ['a field that comes twice', request(Buffer.concat([path, path]))],
    ['a message that comes twice', request(method, path)],
    ['a map in two places', request(Buffer.concat([header('a', '1'), path, header('b', '2')]))],
    ['a key that comes twice', request(Buffer.concat([header('a', '1'), header('a', '2')]))],
    ['an entry without a value', request(Buffer.concat([field(0x1a, field(0x0a, 'a')), path]))],
    ['an entry without a key', request(field(0x1a, field(0x12, 'a')))],
    ['an empty entry', request(Buffer.concat([field(0x1a, ''), header('a', '1')]))],
    [
      'an entry that says more',
      request(field(0x1a, Buffer.concat([field(0x0a, 'a'), field(0x12, '1'), field(0x1a, 'x')]))),
    ],
    ['a name that is escaped', request(header('a"b', '1'))],
    [
      'two of which only one can be',
      field(0x0a, field(0x0a, field(0x0a, Buffer.concat([field(0x0a, ''), field(0x12, '')])))),
    ],
  ];
  for (const [name, bytes] of cases) {
    test(name, () => {
      assert.equal(transcode(bytes, plan), undefined);
      assert.ok(readRequest(bytes).message.text.startsWith('{'));
    });
  }

  test('more headers than are compared with each other, and messages beyond the scratch', () => {
    const requestWith = (headers: object, body = ''): Buffer =>
      Buffer.from(encodeRequest({ attributes: { request: { http: { headers, body } } } }));
    const headers = (count: number): object =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`h-${i}`, '']));
    assert.ok(both(requestWith(headers(128))) !== undefined);
    assert.equal(both(requestWith(headers(129))), undefined);
    assert.ok(both(requestWith({}, 'x'.repeat(65_000))) !== undefined);
    assert.equal(both(requestWith({}, 'x'.repeat(65_536))), undefined);
    // Each of these is six characters in JSON, so that they may not fit where the message would.
    for (let length = 1000; length < 65_000; length += 1000) {
      const bytes = requestWith({ a: '\u0001'.repeat(length), b: 'é"'.repeat(200) });
      both(bytes);
      assert.equal(readRequest(bytes).headers[0]?.value.length, length);
    }
  });
});

test('facts are the same by both ways', () => {
  const random = createRandom(9);
  for (let i = 0; i < 3000; i++) {
    const bytes = randomRequest(random);
    // A field that nobody knows changes nothing, and one field twice has it read by way of a tree.
    const again = Buffer.concat([bytes, Buffer.from([0x0a, 0x00])]);
    const { message, ...facts } = readRequest(bytes);
    const { message: other, ...others } = readRequest(bytes.length === 0 ? bytes : again);
    assert.deepEqual(sorted(facts), sorted(others));
    assert.deepEqual(plain(message.tree()), plain(other.tree()));
  }
});

type Named = { readonly headers: readonly { readonly name: string }[] };
const sorted = <T extends Named>({ headers, ...facts }: T): object => ({
  ...facts,
  headers: [...headers].sort((a, b) => (a.name < b.name ? -1 : 1)),
});
