import { scrub, scrubBase64, scrubTarget } from './scrub.ts';
import { isSecretHeader, isSecretName, isSecretParameter } from './secret-names.ts';

/** How one part of a document is read: which of its keys hold secrets, how its texts are scrubbed, what lies below. */
export type Region = {
  readonly isSecret: (name: string) => boolean;
  readonly scrub: (text: string, secrets: readonly string[]) => string;
  readonly below: (name: string) => Region;
};

/** The whole document. What it holds under known names is read as in `input`, since policies repeat parts of it. */
export const regions = { masked: createRegions(false), full: createRegions(true) } as const;

function createRegions(keepsBodies: boolean): Region {
  const never = (): boolean => false;
  const leaf = (scrubText: Region['scrub']): Region => {
    const region: Region = { isSecret: never, scrub: scrubText, below: () => region };
    return region;
  };

  const target = leaf(scrubTarget);
  const base64 = leaf(scrubBase64);

  const body: Region = { isSecret: isSecretParameter, scrub, below: () => body };
  const query: Region = { isSecret: isSecretParameter, scrub, below: () => query };
  /** A map of headers, a list of maps, or Envoy's list of `{key, value, rawValue}`. */
  const headers: Region = {
    isSecret: isSecretHeader,
    scrub,
    below: (name) => (name === 'rawValue' ? base64 : name === ':path' ? target : headers),
  };
  /** Raw text cannot be redacted safely, so bodies go as a whole. */
  const http: Region = {
    isSecret: (name) => !keepsBodies && (name === 'body' || name === 'rawBody'),
    scrub,
    below: (name) => byName.get(name) ?? plain,
  };
  /** google.protobuf.Any: `value` is bytes of an unknown message. */
  const any: Region = { isSecret: (name) => name === 'value', scrub, below: () => plain };
  const typedMetadata: Region = { isSecret: never, scrub, below: () => any };
  /** Its `token` describes the token that was verified and does not hold it. */
  const identity: Region = { isSecret: never, scrub, below: () => plain };

  const plain: Region = {
    isSecret: (name) => isSecretName(name) || (!keepsBodies && name === 'rawBody'),
    scrub,
    below: (name) => byName.get(name) ?? plain,
  };

  const byName: ReadonlyMap<string, Region> = new Map<string, Region>([
    ['http', http],
    ['headers', headers],
    ['headerMap', headers],
    ['response_headers_to_add', headers],
    ['rawValue', base64],
    ['rawBody', base64],
    ['path', target],
    ['parsed_query', query],
    ['query_parameters_to_set', query],
    ['parsed_body', body],
    ['typedFilterMetadata', typedMetadata],
    ['identity', identity],
  ]);
  return plain;
}
