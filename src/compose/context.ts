import { createContext, createRateCounter } from '../check/context.ts';
import type { DescribeContext } from '../check/ports.ts';
import { geoipFiles } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import type { Part } from '../lib/lifecycle.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createGeoip } from './geoip.ts';

type Reports = { readonly log: Logger; readonly metrics: Metrics; readonly clock: Clock };

export type Description = {
  /** What becomes `input.context`; undefined when it is not configured. */
  readonly describe: DescribeContext | undefined;
  readonly parts: readonly Part[];
};

export function createDescription(config: Config['postern']['context'], reports: Reports): Description {
  if (config === undefined) return { describe: undefined, parts: [] };
  const { clock } = reports;
  const { client_ip, time_zone: timeZone, max_subjects: maxSubjects } = config;
  const files = geoipFiles(config);
  const geoip = files.length === 0 ? undefined : createGeoip(files, config.geoip_reload_seconds * 1000, reports);
  const contextOf = createContext(
    { trustedHops: client_ip.trusted_hops, timeZone },
    { wallMs: clock.wallMs, ...(geoip === undefined ? {} : { geoOf: geoip.geoOf }) },
  );
  const countOf = createRateCounter({ maxSubjects, monotonicMs: clock.monotonicMs });
  return {
    describe: (facts, identity) => {
      const { issuer = '', subject, workload } = identity ?? {};
      const caller = subject === undefined ? workload?.spiffe_id : `${issuer} ${subject}`;
      return {
        ...contextOf(facts, identity),
        subject_requests_per_minute: caller === undefined ? null : countOf(caller),
      };
    },
    parts: geoip === undefined ? [] : [geoip.part],
  };
}
