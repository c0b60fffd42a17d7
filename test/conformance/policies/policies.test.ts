import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Reads } from '../../../src/model/reads.ts';
import { hostBuiltins } from '../../../src/policy/builtins/registry.ts';
import { loadPolicy, type Policy, PolicyAbort } from '../../../src/policy/engine/load-policy.ts';
import { compileModule } from '../../../src/policy/engine/module.ts';
import { readsOf } from '../../../src/policy/engine/reads/reads.ts';
import { dumpJson } from '../../../src/values/dump.ts';
import { parseExact, stringify } from '../../../src/values/json.ts';
import { parse } from '../../../src/values/parse.ts';
import { pruned } from '../../../src/values/request-message.ts';
import { isArray, isRegoObject, type Value } from '../../../src/values/value.ts';
import { buildModule } from '../../support/modules.ts';
import { createScope } from '../../support/scope.ts';
import { scratchFolder } from '../../support/servers.ts';
import { missingBuiltins } from '../exceptions.ts';
import { differences } from './differences.ts';
import { type Generated, generate } from './generate.ts';
import { OPA, type OpaServer, startOpa } from './opa-server.ts';

/*
 * Policies as services write them, each asked with good, bad and odd inputs: what OPA's own evaluator answers, this
 * engine answers too, digit by digit, and also when it is given no more than what the policy reads.
 */

const SEED = 20_260_304;
const VARIANTS = 5;
const POLICIES_PER_MODULE = 240;
/** One kind only, for whoever works on it: the start of the policies' names. */
const only = process.env['POLICIES'] ?? '';

const suite = createScope();
after(suite.close);

const UNDEFINED = 'undefined';
const CONFLICT = 'conflict';

/** JSON text in the one form that equal documents share. */
const canonical = (document: Value): string => dumpJson(parse(dumpJson(document)));

async function expected(opa: OpaServer, entrypoint: string, input: string): Promise<string> {
  const answer = await opa.post(`/v1/data/${entrypoint}`, `{"input":${input}}`);
  const body = parse(answer);
  assert(isRegoObject(body), answer);
  if (body.get('code') !== undefined) {
    assert.match(answer, /eval_conflict_error/, `${entrypoint}: ${answer}`);
    return CONFLICT;
  }
  const result = body.get('result');
  return result === undefined ? UNDEFINED : canonical(result);
}

function actual(policy: Policy, entrypoint: string, input: string): string {
  try {
    const results = parse(policy.evaluateText(input, entrypoint));
    assert(isArray(results) && results.length <= 1);
    const [bindings] = results;
    return isRegoObject(bindings) ? canonical(bindings.get('result') ?? null) : UNDEFINED;
  } catch (error) {
    if (error instanceof PolicyAbort) return CONFLICT;
    return `${error instanceof Error ? `${error.name}: ${error.message}` : error}`;
  }
}

/** The places where two documents of rules differ. */
function difference(ours: string, theirs: string): string {
  const [left, right] = [ours, theirs].map((text) => (text.startsWith('{') ? parse(text) : undefined));
  if (!isRegoObject(left) || !isRegoObject(right)) return `ours ${ours}\n      OPA  ${theirs}`;
  const keys = [...new Set([...left, ...right].map(([key]) => key))];
  return keys
    .map((key) => [key, ...[left, right].map((side) => (side.has(key) ? dumpJson(side.get(key) ?? null) : UNDEFINED))])
    .filter(([, a, b]) => a !== b)
    .map(([key, a, b]) => `${key}: ours ${a}\n      OPA  ${b}`)
    .join('\n      ');
}

/** Writes the modules to `folder`. Returns what `opa build -t wasm` makes of them. */
function build(folder: string, policies: readonly Generated[]): Buffer {
  const files = policies.flatMap(({ name, modules }) =>
    modules.map((text, index) => {
      const file = join(folder, `${name}-${index}.rego`);
      writeFileSync(file, text);
      return file;
    }),
  );
  const entrypoints = policies.flatMap(({ entrypoint }) => ['-e', entrypoint]);
  const bundle = join(scratchFolder(suite), 'bundle.tar.gz');
  execFileSync(OPA, ['build', '-t', 'wasm', ...entrypoints, '-o', bundle, ...files], { stdio: 'pipe' });
  return execFileSync('tar', ['-xzOf', bundle, '/policy.wasm'], { stdio: 'pipe', maxBuffer: 2 ** 28 });
}

const lacking = [...missingBuiltins.keys()].filter((name) => !hostBuiltins.has(name));
const isLacking = ({ modules }: Generated): boolean =>
  modules.some((text) => lacking.some((name) => text.includes(`${name}(`)));

type Built = {
  readonly policies: readonly Generated[];
  readonly policy: Policy;
  readonly reads: ReadonlyMap<string, Reads>;
};

async function buildAll(folder: string, policies: readonly Generated[], data: string): Promise<Built[]> {
  const built: Built[] = [];
  for (let start = 0; start < policies.length; start += POLICIES_PER_MODULE) {
    const part = policies.slice(start, start + POLICIES_PER_MODULE);
    const wasm = build(folder, part);
    const { entrypoints } = await compileModule(wasm, 2 ** 28);
    // One by one: together they take too long to be told.
    const reads = new Map([...entrypoints].flatMap((entrypoint) => [...readsOf(wasm, new Map([entrypoint]))]));
    built.push({ policies: part, policy: await loadPolicy(wasm, { data }), reads });
  }
  return built;
}

test('generated policies have the results of OPA', async (t) => {
  const generated = generate(SEED, VARIANTS).filter(({ name }) => name.startsWith(only));
  const policies = generated.filter((policy) => !isLacking(policy));
  const folder = scratchFolder(suite);
  const data = `{"d":{${policies.map((policy) => `"${policy.name}":${policy.data}`)}}}`;
  const built = await buildAll(folder, policies, data);
  writeFileSync(join(folder, 'data.json'), data);
  const opa = await startOpa(folder, join(scratchFolder(suite), 'opa.sock'));
  suite.after(opa.close);

  const differences: string[] = [];
  let asked = 0;
  let conflicts = 0;
  let wholes = 0;
  for (const { entrypoint, inputs, policy, reads } of built.flatMap((part) =>
    part.policies.map((one) => ({ ...one, policy: part.policy, reads: part.reads.get(one.entrypoint) ?? true })),
  )) {
    if (reads === true) wholes++;
    const answers = await Promise.all(inputs.map((input) => expected(opa, entrypoint, input)));
    inputs.forEach((input, index) => {
      asked++;
      const theirs = answers[index] ?? '';
      const ours = actual(policy, entrypoint, input);
      if (theirs === CONFLICT) conflicts++;
      const given = stringify(pruned(parseExact(input), reads));
      if (actual(policy, entrypoint, given) !== ours) differences.push(`${entrypoint} with ${input} as ${given}`);
      if (ours !== theirs) differences.push(`${entrypoint} with ${input}\n      ${difference(ours, theirs)}`);
    });
  }
  t.diagnostic(`${policies.length} policies, ${generated.length - policies.length} passed over for missing built-ins`);
  t.diagnostic(`of ${policies.length - wholes} policies it is known what they read`);
  t.diagnostic(`${asked} evaluations, ${conflicts} of them conflicts, ${differences.length} differences`);
  assert.equal(differences.length, 0, `${differences.length} differences:\n    ${differences.join('\n    ')}`);
});

test('known differences from OPA are still there', async () => {
  const known = Object.entries(differences).flatMap(([reason, list]) => list.map((one) => ({ ...one, reason })));
  const rules = known.map(({ expression }, index) => `r${index} := ${expression}\n`);
  const folder = scratchFolder(suite);
  const entrypoints = known.map((_, index) => `d/r${index}`);
  const policy = await loadPolicy(buildModule(`package d\n\n${rules.join('\n')}`, folder, entrypoints));
  const opa = await startOpa(folder, join(scratchFolder(suite), 'opa.sock'));
  suite.after(opa.close);

  const equal: string[] = [];
  for (const [index, { expression, input, reason }] of known.entries()) {
    const theirs = await expected(opa, `d/r${index}`, input);
    if (actual(policy, `d/r${index}`, input) === theirs) equal.push(`${expression} with ${input}: ${reason}`);
  }
  assert.deepEqual(equal, [], 'no longer a difference');
});
