import { loadPolicy, type Policy } from '../../src/policy/engine/load-policy.ts';
import { compare } from '../../src/values/compare.ts';
import { fromJavaScript } from '../../src/values/convert.ts';
import { dump, dumpJson } from '../../src/values/dump.ts';
import { parse, parseJson } from '../../src/values/parse.ts';
import { isArray, isRegoObject, RegoObject, RegoSet, type Value } from '../../src/values/value.ts';
import type { ConformanceCase } from './corpus.ts';

/*
 * Whether a case holds, by the rules of OPA's own test of its WASM (internal/wasm/sdk/test/e2e): sets count as arrays, a
 * case for strict errors must come out empty without an exception, other errors must be exceptions.
 */

/** Undefined when the case holds, else what went wrong. */
export async function verdict(test: ConformanceCase): Promise<string | undefined> {
  let got: Value;
  try {
    const policy = await load(test);
    got = parse(await policy.evaluateTextAsync(test.input_text ?? ''));
  } catch (error) {
    return expectsError(test) ? wrongError(test, String(error)) : String(error);
  }
  if (!isArray(got)) return `not a result set: ${dump(got)}`;
  if (test.want_defined !== undefined) {
    return got.length > 0 === test.want_defined ? undefined : `want_defined ${test.want_defined}, got ${dump(got)}`;
  }
  const expected = test.wantResultText ?? (test.strict_error === true ? '[]' : undefined);
  if (expected === undefined) return `an error was expected, got ${dump(got)}`;
  const read = test.suite === 'wasm' ? loosely : parseJson;
  const sorted = test.sort_bindings === true || test.suite === 'wasm';
  const want = new RegoSet(read(expected) as readonly Value[]);
  const results = read(dumpJson(got)) as readonly Value[];
  const result = new RegoSet(sorted ? results.map(withSortedBindings) : results);
  const wanted = test.suite === 'wasm' ? new RegoSet(want.sorted().map(withSortedBindings)) : want;
  return compare(wanted, result) === 0 ? undefined : `want ${dump(want)}\n      got  ${dump(result)}`;
}

/** The assets of the WASM compiler expect what JavaScript's JSON gives, and sets in the order of their hashes. */
const loosely = (text: string): Value => fromJavaScript(JSON.parse(text));

function load(test: ConformanceCase): Promise<Policy> {
  let memoized = false;
  return loadPolicy(test.wasm(), {
    data: test.dataText,
    network: { allowHosts: ['localhost'] },
    extraBuiltins: {
      'test.sleep': () => null,
      custom_builtin_test: (n) => Number(n) + 1,
      custom_builtin_test_impure: () => 'foo',
      custom_builtin_test_memoization: () => {
        if (memoized) throw new Error('should have been memoized');
        memoized = true;
        return 100;
      },
    },
  });
}

const expectsError = (test: ConformanceCase): boolean =>
  test.strict_error !== true && (test.want_error !== undefined || test.want_error_code !== undefined);

/** WASM has no codes; OPA's test knows the texts of one of them. */
function wrongError(test: ConformanceCase, message: string): string | undefined {
  if (test.want_error_code !== 'eval_conflict_error') return undefined;
  return /var assignment conflict|object insert conflict/.test(message) ? undefined : `another error: ${message}`;
}

function withSortedBindings(bindings: Value): Value {
  if (!isRegoObject(bindings)) return bindings;
  return new RegoObject(
    bindings.sorted().map(([key, value]) => [key, isArray(value) ? [...value].sort(compare) : value] as const),
  );
}
