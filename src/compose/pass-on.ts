import type { PassRequestOn } from '../check/ports.ts';
import { claimHeaders, headersToRemove, type SanitiseOptions } from '../check/sanitise.ts';
import type { IdentityConfig } from '../config/schema.ts';
import { withoutTokens } from '../identity/token-source.ts';
import type { PassOn } from '../model/pass-on.ts';

/** How requests that are let through are changed; undefined when nothing about that is configured. */
export function createPassOn(config: IdentityConfig | undefined): PassRequestOn | undefined {
  if (config === undefined) return undefined;
  const { token, claims_to_headers: claimsToHeaders, identity_headers: identityHeaders, remove_forwarded } = config;
  const sanitise: SanitiseOptions = { identityHeaders, claimsToHeaders, removeForwarded: remove_forwarded };
  const cleans = remove_forwarded || identityHeaders.length > 0 || Object.keys(claimsToHeaders).length > 0;
  if (!cleans && token.forward) return undefined;
  return (facts, identity) => {
    const set = [...claimHeaders(identity, claimsToHeaders)];
    const remove = new Set(cleans ? headersToRemove(facts, sanitise) : []);
    const without = token.forward ? undefined : withoutTokens(facts, token);
    for (const name of without?.headersToRemove ?? []) remove.add(name);
    if (without?.cookie === '') remove.add('cookie');
    else if (without?.cookie !== undefined) set.push(['cookie', without.cookie]);
    // Envoy removes after it has set; what is set replaces the client's value anyway.
    const replaced = new Set(set.map(([name]) => name.toLowerCase()));
    return onlyIfAny({
      headersToSet: set,
      headersToRemove: [...remove].filter((name) => !replaced.has(name.toLowerCase())),
      queryParametersToRemove: without?.queryParametersToRemove ?? [],
    });
  };
}

const onlyIfAny = (changes: PassOn): PassOn | undefined =>
  Object.values(changes).some((list) => list.length > 0) ? changes : undefined;
