import type { Reads } from '../../../model/reads.ts';
import type { Code } from './code.ts';
import { interpret, type Surroundings } from './interpret.ts';
import type { FunctionType, ModuleParts } from './module-parts.ts';
import { createPlaces, type Place } from './places.ts';
import { createRuntime } from './runtime.ts';
import { Unsure } from './unsure.ts';
import { either, type Held, NOTHING, numberOf, OTHER, placeOf } from './values.ts';

/** A function of the policy, as it is known so far: for all its callers together. */
type Rule = {
  parameters: readonly Held[];
  returned: Held;
  /** What it has given to OPA to be remembered. */
  remembered: Held;
  readonly callers: Set<number>;
};

/** The names of functions that OPA's planner makes of rules (internal/planner/planner.go). */
const RULES = /^g\d+\.data[.[]/;

const MAX_CALLS_DEEP = 200;

/** Where in `eval`'s context is what (wasm/src/context.h). */
const CONTEXT = { input: 0, result: 8, entrypoint: 12 };

/** What of the input the module may read when `eval` is asked for `entrypoint`. Throws Unsure, EngineError. */
export function follow(
  parts: ModuleParts,
  entrypoint: number,
  codeOf: (index: number) => Code,
  spend: (steps: number) => void,
): Reads {
  const evaluate = parts.named('eval');
  // Without its name, what it gives back would count as kept.
  parts.named('opa_memoize_get');
  const places = createPlaces();
  const runtime = createRuntime(places, parts.stringAt, spend);
  const rules = new Map<number, Rule>();
  /** To be followed again, as something that they depend on has grown. */
  const stale = new Set<number>();
  /** Being followed, each for the one before. */
  const under: number[] = [];

  const isRule = (index: number): boolean => RULES.test(parts.nameOf(index) ?? '');
  const rulesOfType = Map.groupBy(parts.table.filter(isRule), parts.typeOf);

  function typeAt(number: number | undefined): FunctionType {
    const type = parts.types[number ?? -1];
    if (type === undefined || type.results > 1) throw new Unsure('a function of a type that OPA has not');
    return type;
  }

  function callRule(index: number, given: readonly Held[], caller: number): Held {
    const known = rules.get(index);
    const rule = known ?? { parameters: given, returned: NOTHING, remembered: NOTHING, callers: new Set() };
    const parameters = rule.parameters.map((held, i) => either(held, given[i] ?? NOTHING));
    if (known === undefined || parameters.some((held, i) => held !== rule.parameters[i])) {
      rules.set(index, rule);
      rule.parameters = parameters;
      stale.add(index);
      if (!under.includes(index)) run(index, rule);
    }
    rule.callers.add(caller);
    return rule.returned;
  }

  function run(index: number, rule: Rule): void {
    if (under.length >= MAX_CALLS_DEEP) throw new Unsure('calls are too deep');
    stale.delete(index);
    under.push(index);
    const returned = either(rule.returned, interpret(codeOf(index), rule.parameters, around(index, rule)));
    under.pop();
    if (returned === rule.returned) return;
    rule.returned = returned;
    spend(rule.callers.size);
    for (const caller of rule.callers) stale.add(caller);
  }

  function remember(index: number, rule: Rule, [number, held = NOTHING]: readonly Held[]): Held {
    checkOwn(number, index);
    const remembered = either(rule.remembered, held);
    if (remembered !== rule.remembered) stale.add(index);
    rule.remembered = remembered;
    return OTHER;
  }

  function recall(index: number, rule: Rule, [number]: readonly Held[]): Held {
    checkOwn(number, index);
    return either(OTHER, rule.remembered);
  }

  const around = (index: number, rule: Rule): Surroundings => ({
    spend,
    typeOfFunction: (called) => typeAt(parts.typeOf(called)),
    typeAt,
    call(called, given) {
      if (isRule(called)) return callRule(called, given, index);
      const name = parts.nameOf(called);
      if (name === 'opa_memoize_get') return recall(index, rule, given);
      if (name === 'opa_memoize_insert') return remember(index, rule, given);
      const returned = runtime.call(name, given);
      return name === 'opa_mapping_lookup' ? placeOf(places.element) : returned;
    },
    callIndirect(type, element, given) {
      if (!isOnly(element, places.element)) throw new Unsure('a call of it is not known what');
      const called = rulesOfType.get(type) ?? [];
      spend(called.length);
      return called.map((each) => callRule(each, given, index)).reduce(either, NOTHING);
    },
    load(address, offset) {
      if (!isOnly(address, places.context)) throw new Unsure('a look into memory');
      if (offset === CONTEXT.input) return placeOf(places.input);
      return offset === CONTEXT.entrypoint ? numberOf(entrypoint) : OTHER;
    },
    store(address, offset, value) {
      if (!isOnly(address, places.context) || offset !== CONTEXT.result) throw new Unsure('a change of memory');
      runtime.keep(value);
    },
  });

  callRule(evaluate, [placeOf(places.context)], evaluate);
  // What becomes stale meanwhile comes behind the others.
  for (const index of stale) {
    const rule = rules.get(index);
    if (rule !== undefined) run(index, rule);
  }
  return places.reads();
}

/** Rules are remembered by the number of their function. */
function checkOwn(number: Held | undefined, index: number): void {
  if (number === undefined || !isOnlyNumber(number, index)) throw new Unsure("another rule's value");
}

const isOnlyNumber = ({ places, numbers, other }: Held, number: number): boolean =>
  !other && places.size === 0 && numbers.size === 1 && numbers.has(number);

const isOnly = ({ places, numbers, other }: Held, place: Place): boolean =>
  !other && numbers.size === 0 && places.size === 1 && places.has(place);
