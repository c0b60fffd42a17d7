import type { JsonObject } from './json.ts';
import type { Reads } from './reads.ts';

/** A header, its name in the spelling that came and in lower case. */
export type Header = { readonly name: string; readonly lower: string; readonly value: string };

/** What one CheckRequest says about one HTTP request, freed from its wire format. */
export type RequestFacts = {
  readonly message: RequestMessage;
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly path: string;
  readonly host: string;
  readonly fragment: string;
  /** False for a TCP connection, which has no HTTP request to look at. */
  readonly isHttp: boolean;
  /** As a map has them: no two names are spelled alike. */
  readonly headers: readonly Header[];
  /** Headers as a list (Envoy's `encode_raw_headers`); empty when `headers` was sent instead. */
  readonly headerList: readonly Header[];
  readonly body: string;
  readonly rawBody: Uint8Array;
  readonly sourcePrincipal: string;
  /** Of who connected to Envoy; empty where it is no socket's. */
  readonly sourceAddress: string;
};

/** The whole message as JSON, field names in JSON spelling; becomes `input.attributes` and friends. */
export type RequestMessage = {
  /** A JSON object. */
  readonly text: string;
  /** Where the strings in `text` are; undefined where that is not known. */
  readonly strings: StringMap | undefined;
  /** The same as `text`, made when it is asked for. */
  readonly tree: () => JsonObject;
  /** `text` with nothing else than what a policy reads. */
  readonly textOf: (reads: Reads) => string;
};

export type StringFact = 'method' | 'path' | 'host' | 'fragment' | 'body' | 'sourcePrincipal' | 'sourceAddress';

/** Where in a message a string stands. There is one for each place, so that what is found out about it can be kept there. */
export type Place = {
  /** Names from the root, the last one its own. */
  readonly path: readonly string[];
  readonly name: string;
  /** In lower case. */
  readonly lower: string;
  /** Which of the facts it is, if it is one. */
  readonly fact: StringFact | 'header' | undefined;
  /** What the decision log makes of strings that stand here. */
  rule: unknown;
};

/** All strings of a JSON text but for keys, in their order. */
export type StringMap = {
  readonly places: readonly Place[];
  /** For each: where its quotes begin and end, characters, and a mark. */
  readonly spans: readonly number[];
};

/** Nothing in the string could be a part of a secret; something could; it is written with escapes, or is no ASCII. */
export const MARK = { plain: 0, suspect: 1, escaped: 2 } as const;
