import type { Json, JsonObject } from './json.ts';

export const appendActions = [
  'APPEND_IF_EXISTS_OR_ADD',
  'ADD_IF_ABSENT',
  'OVERWRITE_IF_EXISTS_OR_ADD',
  'OVERWRITE_IF_EXISTS',
] as const;
export type AppendAction = (typeof appendActions)[number];

export type HeaderToSet = { readonly name: string; readonly value: string; readonly appendAction?: AppendAction };

/** What a policy decided, after its shape was checked. `shape` decides how much Envoy is told (see envoy/response.ts). */
export type Decision = {
  readonly allowed: boolean;
  readonly shape: 'boolean' | 'object';
  readonly headers: readonly HeaderToSet[];
  readonly responseHeadersToAdd: readonly HeaderToSet[];
  readonly requestHeadersToRemove: readonly string[];
  readonly queryParametersToSet: readonly (readonly [name: string, value: string])[];
  readonly queryParametersToRemove: readonly string[];
  readonly httpStatus: number;
  readonly body: string;
  readonly dynamicMetadata: JsonObject | undefined;
  readonly reasons: readonly string[];
  /** The policy's own words, for the log. */
  readonly result: Json;
};
