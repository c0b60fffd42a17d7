import type { IdentityConfig } from '../config/schema.ts';
import { hostMatches } from '../lib/host-pattern.ts';
import type { RequestFacts } from '../model/facts.ts';

type Need = IdentityConfig['rules'][number]['token'];
type Fits = (method: string, host: string, path: readonly string[]) => boolean;

/** Whether a request must, may or must not have a token: the first rule that fits it, else what is `required`. */
export function createRules({ rules, required }: IdentityConfig): (facts: RequestFacts) => Need {
  const otherwise: Need = required ? 'required' : 'optional';
  if (rules.length === 0) return () => otherwise;
  const readRules = rules.map((rule) => ({ token: rule.token, fits: readRule(rule) }));
  return (facts) => {
    const host = facts.host.toLowerCase().replace(/:[0-9]*$/, '');
    const path = (facts.path.split(/[?#]/, 1)[0] ?? '').split('/').map(decoded);
    return readRules.find(({ fits }) => fits(facts.method, host, path))?.token ?? otherwise;
  };
}

function readRule({ methods, hosts, paths, token }: IdentityConfig['rules'][number]): Fits {
  const hostPatterns = hosts.map((pattern) => pattern.toLowerCase());
  const pathPatterns = paths.map((pattern) => readPath(pattern, token === 'required'));
  return (method, host, path) =>
    (methods.length === 0 || methods.includes(method)) &&
    (hosts.length === 0 || hostPatterns.some((pattern) => hostMatches(pattern, host))) &&
    (paths.length === 0 || pathPatterns.some((isPath) => isPath(path)));
}

/** What an upstream may take for no segment at all, for several, or for another one. */
const ODD_SEGMENT = /^\.{0,2}(?:;|$)|[/\\%]/;

/**
 * `*` is one segment, and at the end all that is below. A segment that can be read in two ways is one only for a rule
 * that asks for more than others do: for one that asks for less it must not pass as something else.
 */
function readPath(pattern: string, takesOddSegments: boolean): (path: readonly string[]) => boolean {
  const written = pattern.split('/');
  const isPrefix = written.at(-1) === '*';
  // Before it is decoded, so that `%2a` is a star.
  const wanted = (isPrefix ? written.slice(0, -1) : written).map((part) => (part === '*' ? undefined : decoded(part)));
  return (path) => {
    if (isPrefix ? path.length <= wanted.length : path.length !== wanted.length) return false;
    return wanted.every((part, i) =>
      part === undefined ? takesOddSegments || !ODD_SEGMENT.test(path[i] ?? '') : part === path[i],
    );
  };
}

/** Segments are decoded one by one: an escaped slash is part of its segment. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
