import type { ModuleParts } from './module-parts.ts';
import type { Places } from './places.ts';
import { either, type Held, NOTHING, OTHER, placeOf } from './values.ts';

/** The functions that every module has from OPA (wasm/src), and those of the host. */
export type Runtime = {
  readonly keep: (...all: readonly Held[]) => void;
  /** What the function of this name returns; what it reads is kept. */
  readonly call: (name: string | undefined, given: readonly Held[]) => Held;
};

export function createRuntime(
  { keep: keepPlace, at }: Places,
  stringAt: ModuleParts['stringAt'],
  spend: (steps: number) => void,
): Runtime {
  function keep(...all: readonly Held[]): void {
    for (const { places } of all) for (const place of places) keepPlace(place);
  }

  function constantsOf({ places, numbers, other }: Held): readonly string[] | undefined {
    const texts = [...numbers].map(stringAt);
    const areTexts = texts.length > 0 && texts.every((text) => text !== undefined);
    return areTexts && !other && places.size === 0 ? texts : undefined;
  }

  /** The value behind a key of an object. */
  function get(object: Held, key: Held): Held {
    const keys = constantsOf(key);
    if (keys === undefined) {
      keep(object, key);
      return OTHER;
    }
    spend(object.places.size * keys.length);
    const found = [...object.places].flatMap((place) => keys.flatMap((each) => at(place, each) ?? []));
    // `with` may have put something else there; all that it puts anywhere is kept.
    return either(OTHER, placeOf(...found));
  }

  function call(name: string | undefined, given: readonly Held[]): Held {
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
        keep(second, third);
        return OTHER;
      default:
        keep(...given);
        return OTHER;
    }
  }

  return { keep, call };
}
