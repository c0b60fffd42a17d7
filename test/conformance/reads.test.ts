import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { loadPolicy, type Policy } from '../../src/policy/engine/load-policy.ts';
import { readsOf } from '../../src/policy/engine/reads/reads.ts';
import { parseExact, stringify } from '../../src/values/json.ts';
import { pruned } from '../../src/values/request-message.ts';
import { documentFor } from '../policy/reads/documents.ts';
import { createRandom } from '../support/random.ts';
import { readCorpus } from './corpus.ts';

// Each module runs a few times: compiling functions that are never called would take most of the time.
setFlagsFromString('--wasm-lazy-compilation');
setFlagsFromString('--no-wasm-tier-up');

const DOCUMENTS = 20;
const words = ['a', 'b', 'c', 'x', 'foo', 'bar', 1, 2];

function outcome(policy: Policy, input: string): string {
  try {
    return policy.evaluateText(input);
  } catch (error) {
    return String(error);
  }
}

test("OPA's conformance cases have the same results when they are given no more than what they read", async (t) => {
  const random = createRandom(9);
  let known = 0;
  let asked = 0;
  for (const one of readCorpus()) {
    const wasm = one.wasm();
    const reads = readsOf(wasm, new Map([['first', 0]])).get('first') ?? true;
    if (reads !== true) known++;
    const texts = one.input_text === undefined ? [] : [one.input_text];
    const given = texts.flatMap(jsonOf);
    const isNothing = reads !== true && Object.keys(reads).length === 0;
    if (reads === true || (isNothing && given.length === 0)) continue;
    const documents = [...given, ...Array.from({ length: DOCUMENTS }, () => documentFor(reads, words, random))];
    const policy = await loadPolicy(wasm, {
      data: one.dataText,
      now: () => 1_700_000_000_000,
      random: (count) => new Uint8Array(count),
      maxSteps: 5_000_000,
      extraBuiltins: { 'test.sleep': () => null, custom_builtin_test: (n) => Number(n) + 1 },
    }).catch(() => undefined);
    if (policy === undefined) continue;
    assert.equal(policy.entrypoints.length, 1);
    for (const document of documents) {
      asked++;
      const less = stringify(pruned(document, reads));
      const full = stringify(document);
      assert.equal(outcome(policy, less), outcome(policy, full), `${one.file}: ${one.note} with ${full} as ${less}`);
    }
  }
  t.diagnostic(`${known} cases of which it is known what they read, ${asked} evaluations`);
  assert(known > 4_000 && asked > 10_000);
});

function jsonOf(text: string) {
  try {
    return [parseExact(text)];
  } catch {
    // A set, which no request has.
    return [];
  }
}
