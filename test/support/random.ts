/** Numbers from 0 to 1 that come out the same every time (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export type Random = {
  readonly below: (end: number) => number;
  readonly pick: <T>(list: readonly T[]) => T;
};

export function createRandom(seed: number): Random {
  const next = seeded(seed);
  const below = (end: number): number => Math.floor(next() * end);
  return { below, pick: (list) => list[below(list.length)] as (typeof list)[number] };
}

const numbers = [
  '0',
  '-0',
  '1',
  '-17',
  '1.0',
  '1.10',
  '1e3',
  '1E3',
  '1e+3',
  '-2.5E-7',
  '1e-400',
  '1e400',
  '0.1',
].concat(['9007199254740993', '12345678901234567890123456789', '0.30000000000000004', '123456789.000000000000000001']);
const strings = [
  '""',
  '"a"',
  '"<b>&c</b>"',
  '"\\u003c"',
  '"\\/"',
  '"/"',
  '"é"',
  '"\\u00e9"',
  '"😀"',
  '"\\ud83d\\ude00"',
].concat([
  '"\\ud800"',
  '"\\udc00x"',
  '"\\u2028\\u2029"',
  '"\u2028"',
  '"\\u0000\\u0001\\u001f"',
  '"\\b\\f\\n\\r\\t\\"\\\\"',
  '"\u007f"',
  '"\uffff"',
  '"\\uFFFD"',
]);
const keys = [
  '""',
  '"a"',
  '"b"',
  '"A"',
  '"z"',
  '"10"',
  '"9"',
  '"é"',
  '"\uffff"',
  '"😀"',
  '"__proto__"',
  '"constructor"',
].concat(['"\\u0061b"', '"a b"', '"a/b"', '"\\n"']);

/** JSON text with all that can be spelt in several ways; keys of one object are different. */
export function randomJson(random: Random, depth = 0): string {
  const { below, pick } = random;
  const space = (): string => pick(['', '', ' ', '\n', '\t ']);
  switch (below(depth > 4 ? 3 : 6)) {
    case 0:
      return pick(numbers);
    case 1:
      return pick(strings);
    case 2:
      return pick(['true', 'false', 'null']);
    case 3:
      return `[${space()}${Array.from({ length: below(5) }, () => randomJson(random, depth + 1)).join(`${space()},${space()}`)}]`;
    default:
      return randomObject(random, depth);
  }
}

export function randomObject(random: Random, depth = 0): string {
  const chosen = new Set(Array.from({ length: random.below(6) }, () => random.pick(keys)));
  const space = random.pick(['', ' ', '\r\n']);
  const members = [...chosen].map((key) => `${key}${space}:${space}${randomJson(random, depth + 1)}`);
  return `{${space}${members.join(`,${space}`)}}`;
}
