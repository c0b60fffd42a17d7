import { BuiltinError } from '../builtin.ts';
import { parseUrl, spellUrl, type Url, UrlError } from '../uri/url.ts';

/*
 * URLs in certificates and of requests to be signed.
 */

export type { Url };

/** Parts of URL text. Throws BuiltinError. */
export function urlFrom(text: string): Url {
  try {
    return parseUrl(text);
  } catch (cause) {
    if (cause instanceof UrlError) throw new BuiltinError(cause.message);
    throw cause;
  }
}

const NOTHING: Omit<Url, 'path' | 'rawPath'> = {
  scheme: '',
  opaque: '',
  user: undefined,
  host: '',
  omitHost: false,
  forceQuery: false,
  rawQuery: '',
  fragment: '',
  rawFragment: '',
};

/** The path as a request has it (Go's URL.EscapedPath). */
export const escapedPath = ({ path, rawPath }: Url): string => spellUrl({ ...NOTHING, path, rawPath });
