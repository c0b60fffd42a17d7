/** Built-ins that are not there, each with the reason; their cases cannot hold. */
export const missingBuiltins: ReadonlyMap<string, string> = new Map([
  [
    'rego.parse_module',
    'needs a parser of Rego, which WebAssembly leaves behind; such a policy is refused when it is loaded',
  ],
]);

const INTEGER_KEYS = 'data with an integer for a key of a reference: a limit of the WASM code (opa#3711)';
const EXPONENT = 'the WASM code parses JSON itself and knows no limit of exponents, as Go has since 1.19';

/** Cases that do not hold, by suite and note, each with the reason. A listed case that holds fails the test. */
export const exceptions: ReadonlyMap<string, string> = new Map([
  ['v0: data/toplevel integer', INTEGER_KEYS],
  ['v0: data/nested integer', INTEGER_KEYS],
  ['v1: data/toplevel integer', INTEGER_KEYS],
  ['v1: data/nested integer', INTEGER_KEYS],
  ['v1: jsonbuiltins/unmarshal number beyond the supported exponent is undefined', EXPONENT],
  ['v1: jsonbuiltins/unmarshal number with too big an exponent is undefined', EXPONENT],
]);
