import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { readBundle } from '../../src/bundles/bundle.ts';
import { digestOf } from '../../src/bundles/digest.ts';
import { openBundle } from '../../src/bundles/open.ts';
import { unpack } from '../../src/bundles/unpack.ts';
import { createRandom, type Random, randomJson, randomObject } from '../support/random.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { asArchive, type Files, signWithOpa, verdictOfOpa, verificationWith } from '../support/signing.ts';

const scope = createScope();
after(scope.close);
const LIMIT = 10_000_000;

/** A few files; their data may meet in one place, and then belong together or not. */
function randomFiles(random: Random): Files {
  const { below, pick } = random;
  const files: [string, string][] = Array.from({ length: 1 + below(4) }, (_, i) => {
    const folder = below(8) === 0 ? pick([[], ['a'], ['a', 'b']]) : [`f${i}`, ...pick([[], ['é'], ['x y']])];
    const name = pick(['data.json', 'data.json', 'data.json', 'data.yaml', 'data.yml', 'notes.md', 'other.json']);
    return [[...folder, name].join('/'), folder.length === 0 ? randomObject(random) : randomJson(random)];
  });
  if (below(2) === 0) files.push(['.manifest', `{"revision": "r${below(9)}", "metadata": ${randomObject(random)}}`]);
  return Object.fromEntries(files);
}

type Change = readonly [name: string, change: (files: Files, random: Random) => Files];

const contentOf = (files: Files, random: Random): readonly [name: string, content: Buffer] => {
  const name = random.pick(Object.keys(files).filter((each) => each !== '.signatures.json'));
  return [name, Buffer.from(files[name] ?? '')];
};
const changes: readonly Change[] = [
  ['as it is', (files) => files],
  [
    'with spaces around a file',
    (files, random) => {
      const [name, content] = contentOf(files, random);
      return { ...files, [name]: `\n ${content}\n` };
    },
  ],
  [
    'with a file spelt by JavaScript',
    (files, random) => {
      const [name, content] = contentOf(files, random);
      return { ...files, [name]: JSON.stringify(JSON.parse(content.toString())) };
    },
  ],
  [
    'with a bit turned',
    (files, random) => {
      const [name, content] = contentOf(files, random);
      const at = random.below(content.length);
      content[at] = (content[at] ?? 0) ^ (1 << random.below(7));
      return { ...files, [name]: content };
    },
  ],
  [
    'with a file cut',
    (files, random) => {
      const [name, content] = contentOf(files, random);
      return { ...files, [name]: content.subarray(0, random.below(content.length)) };
    },
  ],
  [
    'with a file less',
    (files, random) => {
      const [gone] = contentOf(files, random);
      return Object.fromEntries(Object.entries(files).filter(([name]) => name !== gone));
    },
  ],
  ['with a file more', (files, random) => ({ ...files, 'c/data.json': randomJson(random) })],
  [
    'with its signature changed',
    (files, random) => {
      const token = Buffer.from(files['.signatures.json'] ?? '');
      const at = 30 + random.below(token.length - 40);
      token[at] = (token[at] ?? 0) ^ 1;
      return { ...files, '.signatures.json': token };
    },
  ],
];

describe('a generated bundle', () => {
  const random = createRandom(4711);
  const seen = { accepted: 0, refused: 0 };
  for (let i = 0; i < 112; i++) {
    const algorithm = random.pick(['RS256', 'PS384', 'ES256', 'ES512', 'EdDSA'] as const);
    const [name, change] = changes[i % changes.length] as Change;
    const original = randomFiles(random);
    test(`${i} with ${algorithm}, ${name}, is judged as by opa`, async () => {
      const folder = scratchFolder(scope);
      const archive = asArchive(change(signWithOpa(folder, original, algorithm), random));
      const verification = verificationWith(algorithm);
      const theirs = verdictOfOpa(folder, archive, algorithm, verification);
      const ours = await unpack(archive, LIMIT)
        .then((files) => openBundle(files, verification, Date.now()))
        .catch((error: Error) => error.message);
      const said = `ours: ${typeof ours === 'string' ? ours : 'accepted'}; opa: ${theirs.ok ? 'accepted' : theirs.reason}`;
      assert.equal(typeof ours !== 'string', theirs.ok, said);
      seen[theirs.ok ? 'accepted' : 'refused']++;
      if (typeof ours === 'string' || !theirs.ok || ours.kind !== 'snapshot') return;
      const output = [...(await unpack(theirs.output, LIMIT))].filter(([file]) => file !== '.signatures.json');
      const merged = readBundle(new Map(output));
      assert.equal(digestOf('SHA-256', ours.bundle.data), digestOf('SHA-256', merged.data));
    });
  }
  test('is accepted often, and refused often', () => {
    assert.ok(seen.accepted > 25 && seen.refused > 25, JSON.stringify(seen));
  });
});
