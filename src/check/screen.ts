import { headersNamed } from '../lib/request-headers.ts';
import type { Header, RequestFacts } from '../model/facts.ts';
import type { RefusalReason } from '../model/reasons.ts';

export type PathMode = 'standard' | 'strict' | 'off';

const METHOD = /^[A-Z0-9!#$%&'*+.^_`|~-]+$/;
const HOST = /^(?:[A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
const ENCODED_CONTROL = /%(?:0[0-9A-Fa-f]|1[0-9A-Fa-f]|7[Ff])/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const RAW_UNSAFE = /[\u0000-\u0020\u007f\\]/;
const STRICT_ONLY = /%2[Ff]|%5[Cc]|;/;
const SECOND_SCHEME = /,\s*[A-Za-z][A-Za-z0-9-]*\s+[^\s=,]+(?:\s|,|$)/;

/**
 * Refuses requests that two readers could read in two ways (an upstream and a policy, say): the path, the host and the
 * method as `postern.paths` says, and always more than one Authorization value.
 */
export function screen(facts: RequestFacts, mode: PathMode): RefusalReason | undefined {
  if (hasTwoAuthorizations(facts)) return 'authorization_ambiguous';
  if (mode === 'off' || !facts.isHttp) return undefined;
  if (!METHOD.test(facts.method) && facts.method !== '') return 'method_invalid';
  if (!HOST.test(facts.host)) return 'host_invalid';
  if (facts.fragment !== '' || isAmbiguousPath(facts.path, facts.method, mode)) return 'path_ambiguous';
  if (hasTwoSpellings(facts.headers)) return 'headers_ambiguous';
  return undefined;
}

function isAmbiguousPath(target: string, method: string, mode: 'standard' | 'strict'): boolean {
  if (target.includes('#')) return true;
  const cut = target.indexOf('?');
  const path = cut < 0 ? target : target.slice(0, cut);
  if (path === '') return false;
  if (path === '*' && method === 'OPTIONS') return false;
  // CONNECT names an authority, not a path (RFC 9110 section 9.3.6).
  if (method !== 'CONNECT' && !path.startsWith('/')) return true;
  if (path.startsWith('//')) return true;
  if (BAD_ESCAPE.test(path) || ENCODED_CONTROL.test(path) || RAW_UNSAFE.test(path)) return true;
  if (mode === 'strict' && STRICT_ONLY.test(path)) return true;
  return hasDotSegment(path);
}

function hasDotSegment(path: string): boolean {
  if (!path.includes('.') && !/%2[Ee]/.test(path)) return false;
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return true;
  }
  // An upstream may take an encoded slash or backslash for a separator, and drop the parameters after a semicolon.
  return decoded.split(/[/\\]/).some((segment) => {
    const name = segment.split(';', 1)[0];
    return name === '.' || name === '..';
  });
}

function hasTwoAuthorizations(facts: RequestFacts): boolean {
  let count = 0;
  let value = '';
  for (const header of headersNamed(facts, 'authorization')) {
    count++;
    ({ value } = header);
  }
  if (count > 1) return true;
  if (!value.includes(',')) return false;
  // Envoy joins repeated headers with a comma, which no bearer or basic credential contains (RFC 7235 section 2.1).
  return /^\s*(?:bearer|basic)\s/i.test(value) || SECOND_SCHEME.test(value);
}

function hasTwoSpellings(headers: readonly Header[]): boolean {
  // Names by which headers are told apart differ, so that two are alike only where one has a capital letter.
  if (headers.every(({ name, lower }) => name === lower)) return false;
  return new Set(headers.map(({ lower }) => lower)).size < headers.length;
}
