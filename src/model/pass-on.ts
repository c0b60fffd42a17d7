/** How a request that is let through is changed on its way upstream. */
export type PassOn = {
  readonly headersToSet: readonly (readonly [name: string, value: string])[];
  readonly headersToRemove: readonly string[];
  readonly queryParametersToRemove: readonly string[];
};
