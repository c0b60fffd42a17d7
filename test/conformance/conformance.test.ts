import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { hostBuiltins } from '../../src/policy/builtins/registry.ts';
import { readCorpus } from './corpus.ts';
import { exceptions, missingBuiltins } from './exceptions.ts';
import { verdict } from './verdict.ts';

// Each module runs once: compiling functions that are never called would take most of the time.
setFlagsFromString('--wasm-lazy-compilation');
setFlagsFromString('--no-wasm-tier-up');

const corpus = readCorpus();
const CASES = { v0: 2027, v1: 2400, wasm: 369 };
/** One family only, for whoever works on it: a part of the case's file. */
const only = process.env['CONFORMANCE'] ?? '';

test('built-ins that are listed as missing are missing', () => {
  assert.deepEqual(
    [...missingBuiltins.keys()].filter((name) => hostBuiltins.has(name)),
    [],
  );
});

function needsMissing(problem: string | undefined): boolean {
  const [, names] = /not available: ([^(]*)/.exec(problem ?? '') ?? [];
  return (
    names
      ?.trim()
      .split(', ')
      .every((name) => missingBuiltins.has(name)) ?? false
  );
}

for (const suite of ['v0', 'v1', 'wasm'] as const) {
  test(`OPA's conformance cases hold: ${suite}`, async (t) => {
    const cases = corpus.filter((one) => one.suite === suite);
    assert.equal(cases.length, CASES[suite]);
    const surprises: string[] = [];
    let passed = 0;
    const chosen = cases.filter((one) => `${one.file}: ${one.note}`.includes(only));
    for (const one of chosen) {
      const problem = await verdict(one);
      if (problem === undefined) passed++;
      if ((problem !== undefined) !== (exceptions.has(`${suite}: ${one.note}`) || needsMissing(problem))) {
        surprises.push(`${one.file}: ${one.note}\n      ${problem ?? 'holds, though it is listed as an exception'}`);
      }
    }
    t.diagnostic(`${passed} of ${chosen.length} hold, ${chosen.length - passed} exceptions`);
    assert.equal(surprises.length, 0, `${surprises.length} surprises:\n    ${surprises.join('\n    ')}`);
  });
}
