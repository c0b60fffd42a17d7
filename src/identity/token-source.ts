import { headersNamed } from '../lib/request-headers.ts';
import type { RequestFacts } from '../model/facts.ts';

/** Where tokens are looked for; null: not there. */
export type TokenSources = {
  /** A header's name, in any case. */
  readonly header: string;
  /** `bearer`: the token follows this word (RFC 6750 section 2.1); `none`: it is the whole value. */
  readonly scheme: 'bearer' | 'none';
  /** A cookie's name (case counts). */
  readonly cookie: string | null;
  /** A query parameter's name (case counts), decoded. */
  readonly query: string | null;
};

type Source = 'header' | 'cookie' | 'query';

/**
 * The tokens of a request, one per configured place, header first. What is found is not judged: a token may be empty
 * behind `Bearer`, or no JWT. An empty header, cookie or parameter is none. `ambiguous` when one place holds two different
 * values, or one that two readers could read in two ways: joined by a comma, split at a semicolon, badly escaped.
 */
export function tokensOf(
  facts: RequestFacts,
  sources: TokenSources,
): readonly { readonly source: Source; readonly token: string }[] | 'ambiguous' {
  const found: { source: Source; token: string }[] = [];
  for (const [source, tokensIn] of places) {
    const values = tokensIn(facts, sources);
    if (values === 'ambiguous') return 'ambiguous';
    const [token] = values;
    if (token === undefined) continue;
    if (values.length > 1 && values.some((other) => other !== token)) return 'ambiguous';
    if (token !== '' || (source === 'header' && sources.scheme === 'bearer')) found.push({ source, token });
  }
  return found;
}

/** How to pass a request on without its tokens. */
export type WithoutTokens = {
  /** In the spelling that came. */
  readonly headersToRemove: readonly string[];
  /** The Cookie header that is left; empty when nothing is, undefined when it stays as it is. */
  readonly cookie: string | undefined;
  /** In the spelling that came, still escaped. */
  readonly queryParametersToRemove: readonly string[];
};

/** What to take out of a request so that none of the tokens that `tokensOf` finds is passed on (`forward: false`). */
export function withoutTokens(facts: RequestFacts, sources: TokenSources): WithoutTokens {
  const headersToRemove = new Set<string>();
  for (const { name, value } of headersNamed(facts, sources.header)) {
    if (sources.scheme === 'none' || bearerToken(value) !== undefined) headersToRemove.add(name);
  }
  const cookies = headersNamed(facts, 'cookie').flatMap(({ value }) => value.split(';').map((pair) => pair.trim()));
  const others = cookies.filter((pair) => sources.cookie === null || !holdsCookie(pair, sources.cookie));
  const queryParametersToRemove = new Set<string>();
  for (const pair of queryOf(facts.path).split('&')) {
    if (sources.query === null || parameter(pair, sources.query) === undefined) continue;
    queryParametersToRemove.add(nameAndValue(pair)[0]);
  }
  return {
    headersToRemove: [...headersToRemove],
    cookie: others.length === cookies.length ? undefined : others.filter((pair) => pair !== '').join('; '),
    queryParametersToRemove: [...queryParametersToRemove],
  };
}

const CREDENTIALS_BEFORE_COMMA = /^\s*(?:bearer|basic)(?:\s|,)/i;
const SECOND_CREDENTIALS = /,\s*(?:bearer(?:\s|,|$)|[A-Za-z][A-Za-z0-9-]*\s+[^\s=,]+(?:\s|,|$))/i;

const BEARER = /^ *bearer(?![\w!#$%&'*+.^`|~-])/i;

/**
 * The token of an Authorization value; undefined when the scheme is another one. What stands in the place of the blank
 * (a tab, a colon) is the token's beginning, so that it is none: other readers may not be as strict.
 */
function bearerToken(value: string): string | undefined {
  const scheme = BEARER.exec(value)?.[0];
  return scheme === undefined ? undefined : trimBlanks(value.slice(scheme.length));
}

/** Without the blanks around it; whatever else looks like one stays, and makes it no token. */
function trimBlanks(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && text[from] === ' ') from++;
  while (to > from && text[to - 1] === ' ') to--;
  return text.slice(from, to);
}

function headerTokens(facts: RequestFacts, { header, scheme }: TokenSources): readonly string[] | 'ambiguous' {
  const values = headersNamed(facts, header).map(({ value }) => value);
  if (scheme === 'none') return values.some((value) => value.includes(',')) ? 'ambiguous' : values.map(trimBlanks);
  // Envoy joins repeated headers with a comma, which no bearer or basic credential contains (RFC 9110 section 11.4).
  if (values.some((value) => value.includes(',') && isJoined(value))) return 'ambiguous';
  if (values.some((value) => value !== values[0])) return 'ambiguous';
  return values.map(bearerToken).filter((token) => token !== undefined);
}

const isJoined = (value: string): boolean => CREDENTIALS_BEFORE_COMMA.test(value) || SECOND_CREDENTIALS.test(value);

/** Cookies (RFC 6265 section 4.2.1): of the name, without the quotes around a value. */
function cookieTokens(facts: RequestFacts, { cookie }: TokenSources): readonly string[] | 'ambiguous' {
  if (cookie === null) return [];
  const tokens: string[] = [];
  for (const { value: header } of headersNamed(facts, 'cookie')) {
    for (const pair of header.split(';')) {
      if (!holdsCookie(pair, cookie)) continue;
      // No cookie-octet is a comma: somebody joined two headers, or two readers split in two ways.
      if (pair.includes(',')) return 'ambiguous';
      const cut = pair.indexOf('=');
      if (trimBlanks(pair.slice(0, cut)) !== cookie) return 'ambiguous';
      const value = trimBlanks(pair.slice(cut + 1));
      tokens.push(/^"([^"]*)"$/.exec(value)?.[1] ?? value);
    }
  }
  return tokens;
}

/** Whether a cookie-pair, or a part of it behind a comma, is the cookie of this name to anybody. */
function holdsCookie(pair: string, name: string): boolean {
  if (!pair.includes(name)) return false;
  return pair.split(',').some((part) => {
    const cut = part.indexOf('=');
    return cut >= 0 && part.slice(0, cut).trim() === name;
  });
}

const places = [
  ['header', headerTokens],
  ['cookie', cookieTokens],
  ['query', queryTokens],
] as const;

function queryOf(target: string): string {
  const [beforeFragment = ''] = target.split('#', 1);
  const cut = beforeFragment.indexOf('?');
  return cut < 0 ? '' : beforeFragment.slice(cut + 1);
}

/** Values of the parameter (application/x-www-form-urlencoded, https://url.spec.whatwg.org/#urlencoded-parsing). */
function queryTokens({ path }: RequestFacts, { query }: TokenSources): readonly string[] | 'ambiguous' {
  if (query === null) return [];
  const text = queryOf(path);
  const tokens: string[] = [];
  for (const pair of text.split('&')) {
    const value = parameter(pair, query);
    if (value === 'undecodable') return 'ambiguous';
    if (value !== undefined) tokens.push(value.text);
    // Some readers separate parameters by semicolons too.
    if (!pair.includes(';')) continue;
    if (value !== undefined || pair.split(';').some((part) => parameter(part, query) !== undefined)) return 'ambiguous';
  }
  return tokens;
}

/** The value of a parameter if it has this name. */
function parameter(pair: string, name: string): { readonly text: string } | 'undecodable' | undefined {
  const [rawName, rawValue] = nameAndValue(pair);
  if (decodeStrictly(rawName) !== name) return undefined;
  const text = decodeStrictly(rawValue);
  return text === undefined ? 'undecodable' : { text };
}

function nameAndValue(pair: string): readonly [name: string, value: string] {
  const cut = pair.indexOf('=');
  return cut < 0 ? [pair, ''] : [pair.slice(0, cut), pair.slice(cut + 1)];
}

/** Undefined when an escape is none, or the bytes are no UTF-8. */
function decodeStrictly(text: string): string | undefined {
  const spaced = text.replaceAll('+', ' ');
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return undefined;
  }
}
