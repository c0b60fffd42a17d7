import { createContext, createRateCounter } from '../check/context.ts';
import type { DescribeContext } from '../check/ports.ts';
import type { Config } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';

/** What becomes `input.context`; undefined when it is not configured. */
export function createDescription(config: Config['postern']['context'], clock: Clock): DescribeContext | undefined {
  if (config === undefined) return undefined;
  const { client_ip, time_zone: timeZone, max_subjects: maxSubjects } = config;
  const describe = createContext({ trustedHops: client_ip.trusted_hops, timeZone }, { wallMs: clock.wallMs });
  const countOf = createRateCounter({ maxSubjects, monotonicMs: clock.monotonicMs });
  return (facts, identity) => {
    const { issuer = '', subject, workload } = identity ?? {};
    const caller = subject === undefined ? workload?.spiffe_id : `${issuer} ${subject}`;
    return {
      ...describe(facts, identity),
      subject_requests_per_minute: caller === undefined ? null : countOf(caller),
    };
  };
}
