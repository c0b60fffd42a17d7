import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Json } from '../../../src/model/json.ts';
import type { Reads } from '../../../src/model/reads.ts';
import { loadPolicy } from '../../../src/policy/engine/load-policy.ts';
import { compileModule } from '../../../src/policy/engine/module.ts';
import { readsOf } from '../../../src/policy/engine/reads/reads.ts';
import { stringify } from '../../../src/values/json.ts';
import { pruned } from '../../../src/values/request-message.ts';
import { buildModules } from '../../support/modules.ts';
import { createRandom } from '../../support/random.ts';
import { createScope } from '../../support/scope.ts';
import { scratchFolder } from '../../support/servers.ts';
import { cases, type ReadsCase } from './cases.ts';
import { documentFor, wordsOf } from './documents.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const MEMORY_BYTES = 2 ** 28;

type Subject = ReadsCase & { readonly found: Reads; readonly ask: (input: Json) => string };

/** Each case as a policy that can be asked, all of them in one module but for those that are apart. */
async function build(chosen: readonly ReadsCase[], options: readonly string[]): Promise<Subject[]> {
  const together = chosen.filter(({ apart }) => apart !== true);
  const alone = chosen.filter(({ apart }) => apart === true).map((one) => [one]);
  const built = await Promise.all([together, ...alone].map((part) => buildTogether(part, options)));
  return built.flat();
}

async function buildTogether(part: readonly ReadsCase[], options: readonly string[]): Promise<Subject[]> {
  const pathOf = (index: number): string => `case${index}/allow`;
  const sources = part.flatMap(({ rego, others = [] }, i) => [`package case${i}\n\n${rego}\n`, ...others]);
  const wasm = buildModules(
    sources,
    folder,
    part.map((_, i) => pathOf(i)),
    options,
  );
  const { entrypoints } = await compileModule(wasm, MEMORY_BYTES);
  const reads = readsOf(wasm, entrypoints);
  const policy = await loadPolicy(wasm, { data: { roles: { bob: 1 } } });
  return part.map((one, i) => {
    const found = reads.get(pathOf(i));
    assert(found !== undefined);
    return { ...one, found, ask: (input) => outcome(() => policy.evaluateText(stringify(input), pathOf(i))) };
  });
}

function outcome(step: () => string): string {
  try {
    return step();
  } catch (error) {
    return String(error);
  }
}

const ASKED = 4_000;

function documents({ found, rego, others = [] }: Subject): readonly Json[] {
  // Each from the start: a new case changes nothing for the others.
  const random = createRandom(7);
  const words = wordsOf([rego, ...others].join('\n'));
  return Array.from({ length: ASKED }, () => documentFor(found, words, random));
}

/** `reads` without one of the keys, at each of the places where there is one; with the path to it. */
function* weakened(reads: Reads, path: string): Generator<readonly [path: string, reads: Reads]> {
  if (reads === true) return;
  for (const [key, below] of Object.entries(reads)) {
    const { [key]: _, ...others } = reads;
    yield [`${path}${key}`, others];
    for (const [deeper, next] of weakened(below, `${path}${key}.`)) yield [deeper, { ...reads, [key]: next }];
  }
}

describe('what a policy reads', () => {
  test('is known to the key', async () => {
    const subjects = await build(cases, []);
    assert.deepEqual(
      subjects.map(({ name, found }) => ({ name, reads: found })),
      subjects.map(({ name, reads }) => ({ name, reads })),
    );
  });

  for (const options of [[], ['-O=1'], ['-O=2']]) {
    test(`is all that its results depend on: opa build ${options.join(' ')}`, async () => {
      for (const subject of await build(cases, options)) {
        for (const document of documents(subject)) {
          const { name, found, ask } = subject;
          const given = stringify(pruned(document, found));
          assert.equal(ask(pruned(document, found)), ask(document), `${name}: ${stringify(document)} as ${given}`);
        }
      }
    });
  }

  test('is no more than its results depend on', async () => {
    for (const subject of await build(cases, [])) {
      const { name, found, unneeded = [], ask } = subject;
      const asked = documents(subject);
      const answers = asked.map(ask);
      for (const [path, less] of weakened(found, '')) {
        const isNoticed = asked.some((document, i) => ask(pruned(document, less)) !== answers[i]);
        assert.equal(isNoticed, !unneeded.includes(path), `${name}: without ${path}`);
      }
    }
  });
});
