import type { JsonObject } from './json.ts';

/** What one CheckRequest says about one HTTP request, freed from its wire format. */
export type RequestFacts = {
  /** The whole message as JSON, field names in JSON spelling; becomes `input.attributes` and friends. */
  readonly message: JsonObject;
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly path: string;
  readonly host: string;
  readonly fragment: string;
  /** False for a TCP connection, which has no HTTP request to look at. */
  readonly isHttp: boolean;
  /** Header values by the spelling in the message. */
  readonly headers: Readonly<Record<string, string>>;
  /** Headers as a list (Envoy's `encode_raw_headers`); empty when `headers` was sent instead. */
  readonly headerList: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly rawBody: Uint8Array;
  readonly sourcePrincipal: string;
};
