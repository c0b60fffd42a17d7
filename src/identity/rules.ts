import type { IdentityConfig } from '../config/schema.ts';
import { hostMatches } from '../lib/host-pattern.ts';
import type { RequestFacts } from '../model/facts.ts';

type Need = IdentityConfig['rules'][number]['token'];
type Rule = IdentityConfig['rules'][number];

/** Whether a request must, may or must not have a token: the first rule that fits it, else what is `required`. */
export function createRules({ rules, required }: IdentityConfig): (facts: RequestFacts) => Need {
  const otherwise: Need = required ? 'required' : 'optional';
  if (rules.length === 0) return () => otherwise;
  return (facts) => {
    const host = facts.host.toLowerCase().replace(/:[0-9]*$/, '');
    const path = segmentsOf(facts.path.split(/[?#]/, 1)[0] ?? '');
    return rules.find((rule) => fits(rule, facts.method, host, path))?.token ?? otherwise;
  };
}

const fits = ({ methods, hosts, paths }: Rule, method: string, host: string, path: readonly string[]): boolean =>
  (methods.length === 0 || methods.includes(method)) &&
  (hosts.length === 0 || hosts.some((pattern) => hostMatches(pattern.toLowerCase(), host))) &&
  (paths.length === 0 || paths.some((pattern) => isPath(pattern, path)));

function isPath(pattern: string, path: readonly string[]): boolean {
  const wanted = segmentsOf(pattern);
  const isPrefix = wanted.at(-1) === '*';
  const fixed = isPrefix ? wanted.slice(0, -1) : wanted;
  if (isPrefix ? path.length <= fixed.length : path.length !== fixed.length) return false;
  return fixed.every((segment, i) => segment === path[i]);
}

/** Decoded one by one: an escaped slash is part of its segment. */
const segmentsOf = (path: string): readonly string[] =>
  path.split('/').map((segment) => {
    try {
      return decodeURIComponent(segment);
    } catch {
      return segment;
    }
  });
