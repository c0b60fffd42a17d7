import type { Reads } from '../../../model/reads.ts';
import { type Code, decode } from './code.ts';
import { interpret, type Surroundings } from './interpret.ts';
import { type FunctionType, type ModuleParts, partsOf } from './module-parts.ts';
import { createPlaces, type Place } from './places.ts';
import { Unsure } from './unsure.ts';
import { either, type Held, NOTHING, numberOf, OTHER, placeOf } from './values.ts';

/*
 * What a policy reads of its input, told from its compiled module before it is ever asked. A read that is missed could
 * turn a denial into an allowance, so only what OPA's compiler is known to emit is followed: a value of the input that
 * gets anywhere else is read as a whole, and a module with anything else in it reads everything
 * (docs/decisions/reads.md).
 */

/** Bytes of code and what following them takes, of all entrypoints: about a second. */
const MAX_STEPS = 10_000_000;

/**
 * What each of `entrypoints` (numbers by name) of a module that OPA compiled reads at most. Whatever is not certain is
 * `true`. Never throws.
 */
export function readsOf(wasm: Uint8Array, entrypoints: ReadonlyMap<string, number>): ReadonlyMap<string, Reads> {
  let left = MAX_STEPS;
  const spend = (steps: number): void => {
    left -= steps;
    if (left < 0) throw new Unsure('it takes too long to tell');
  };
  const parts = orUndefined(() => partsOf(wasm));
  if (parts === undefined) return new Map([...entrypoints].map(([name]) => [name, true]));
  const codeOf = decoding(parts, spend);
  const readsFrom = (entrypoint: number): Reads => orUndefined(() => follow(parts, entrypoint, codeOf, spend)) ?? true;
  return new Map([...entrypoints].map(([name, entrypoint]) => [name, readsFrom(entrypoint)]));
}

/** Undefined whatever `step` throws: Unsure, EngineError, also a RangeError where calls are too deep. */
function orUndefined<T>(step: () => T): T | undefined {
  try {
    return step();
  } catch {
    return undefined;
  }
}

/** Each function is decoded once. */
function decoding(parts: ModuleParts, spend: (steps: number) => void): (index: number) => Code {
  const codes = new Map<number, Code>();
  return (index) => {
    const known = codes.get(index);
    if (known !== undefined) return known;
    const body = parts.bodyOf(index);
    if (body === undefined) throw new Unsure('a function without code');
    spend(body.length);
    const code = decode(body);
    codes.set(index, code);
    return code;
  };
}

/** A function of the policy, as it is known so far. */
type Followed = {
  parameters: readonly Held[];
  returned: Held;
  remembered: Held;
  readonly callers: Set<number>;
};

/** The names of functions that OPA's planner makes of rules (internal/planner/planner.go). */
const RULES = /^g\d+\.data[.[]/;

const MAX_CALLS_DEEP = 200;

/** Throws Unsure. */
function follow(
  parts: ModuleParts,
  entrypoint: number,
  codeOf: (index: number) => Code,
  spend: (steps: number) => void,
): Reads {
  const places = createPlaces();
  const evaluation = parts.named('eval');
  // Without its name, what it gives back would count as kept.
  parts.named('opa_memoize_get');
  /** What `eval` is given: the input, the data, where the result goes, the entrypoint (wasm/src/context.h). */
  const context = createPlaces().input;
  /** An element of the table that the module has looked up for a rule. */
  const element = createPlaces().input;
  const followed = new Map<number, Followed>();
  /** To be followed again, as something they depend on has grown. */
  const stale = new Set<number>();
  const depth: number[] = [];

  function keep(held: Held): void {
    for (const place of held.places) places.keep(place === context ? places.input : place);
  }

  function typeAt(number: number | undefined): FunctionType {
    const type = parts.types[number ?? -1];
    if (type === undefined || type.results > 1) throw new Unsure('a function of a type that OPA has not');
    return type;
  }

  const isRule = (index: number): boolean => RULES.test(parts.nameOf(index) ?? '');

  /** The value of one of the keys of an object. */
  function get(object: Held, key: Held): Held {
    const keys = constantsOf(key);
    if (keys === undefined) {
      keep(object);
      keep(key);
      return OTHER;
    }
    const found = [...object.places].flatMap((place) => {
      if (place === context || place === element) throw new Unsure('a key of what is no value');
      return keys.flatMap((each) => places.at(place, each) ?? []);
    });
    // `with` may have put something else there; all that it puts anywhere is kept.
    return either(OTHER, placeOf(...found));
  }

  function constantsOf({ places: own, numbers, other }: Held): readonly string[] | undefined {
    const texts = [...numbers].map(parts.stringAt);
    const areTexts = texts.length > 0 && texts.every((text) => text !== undefined);
    return other || own.size > 0 || !areTexts ? undefined : texts;
  }

  function callRule(index: number, given: readonly Held[], caller: number): Held {
    const rule = followed.get(index) ?? {
      parameters: given.map(() => NOTHING),
      returned: NOTHING,
      remembered: NOTHING,
      callers: new Set(),
    };
    const parameters = rule.parameters.map((held, i) => either(held, given[i] ?? NOTHING));
    if (!followed.has(index) || parameters.some((held, i) => held !== rule.parameters[i])) {
      followed.set(index, rule);
      rule.parameters = parameters;
      stale.add(index);
      if (!depth.includes(index)) run(index, rule);
    }
    rule.callers.add(caller);
    return rule.returned;
  }

  function run(index: number, rule: Followed): void {
    if (depth.length >= MAX_CALLS_DEEP) throw new Unsure('calls are too deep');
    stale.delete(index);
    depth.push(index);
    const returned = either(rule.returned, interpret(codeOf(index), rule.parameters, surroundingsOf(index, rule)));
    depth.pop();
    if (returned === rule.returned) return;
    rule.returned = returned;
    for (const caller of rule.callers) stale.add(caller);
  }

  /** What OPA keeps of a rule's value, by the number of the rule's function. */
  function checkOwn({ places: own, numbers, other }: Held, index: number): void {
    const isOwn = !other && own.size === 0 && numbers.size === 1 && numbers.has(index);
    if (!isOwn) throw new Unsure("another rule's value");
  }

  function surroundingsOf(index: number, rule: Followed): Surroundings {
    function callRuntime(name: string | undefined, given: readonly Held[]): Held {
      const [first = NOTHING, second = NOTHING, third = NOTHING] = given;
      switch (name) {
        case 'opa_value_get':
          return get(first, second);
        case 'builtin_object_get':
          return either(get(first, second), third);
        case 'opa_value_type':
          return OTHER;
        case 'opa_value_shallow_copy':
          // What is in the copy is what is in the value.
          return first;
        case 'opa_object_insert':
          keep(second);
          keep(third);
          return OTHER;
        case 'opa_memoize_get':
          checkOwn(first, index);
          return either(OTHER, rule.remembered);
        case 'opa_memoize_insert': {
          checkOwn(first, index);
          const remembered = either(rule.remembered, second);
          if (remembered !== rule.remembered) stale.add(index);
          rule.remembered = remembered;
          return OTHER;
        }
        case 'opa_mapping_lookup':
          given.forEach(keep);
          return placeOf(element);
        default:
          given.forEach(keep);
          return OTHER;
      }
    }

    return {
      spend,
      typeOfFunction: (called) => typeAt(parts.typeOf(called)),
      typeAt,
      call: (called, given) =>
        isRule(called) ? callRule(called, given, index) : callRuntime(parts.nameOf(called), given),
      callIndirect(type, called, given) {
        if (!isOnly(called, element)) throw new Unsure('a call of it is not known what');
        return parts.table
          .filter((each) => isRule(each) && parts.typeOf(each) === type)
          .map((each) => callRule(each, given, index))
          .reduce(either, NOTHING);
      },
      load(address, offset) {
        if (!isOnly(address, context)) throw new Unsure('a look into memory');
        if (offset === CONTEXT.input) return placeOf(places.input);
        return offset === CONTEXT.entrypoint ? numberOf(entrypoint) : OTHER;
      },
      store(address, offset, value) {
        if (!isOnly(address, context) || offset !== CONTEXT.result) throw new Unsure('a change of memory');
        keep(value);
      },
    };
  }

  callRule(evaluation, [placeOf(context)], evaluation);
  while (stale.size > 0) {
    for (const index of stale) {
      const rule = followed.get(index);
      if (rule !== undefined) run(index, rule);
    }
  }
  return places.reads();
}

const CONTEXT = { input: 0, data: 4, result: 8, entrypoint: 12 };

const isOnly = ({ places, numbers, other }: Held, place: Place): boolean =>
  !other && numbers.size === 0 && places.size === 1 && places.has(place);
