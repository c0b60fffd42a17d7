import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import type { Config } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import { type Admission, createAdmission } from '../limits/admission.ts';
import type { Metrics } from '../telemetry/metrics.ts';

type Parts = { readonly clock: Clock; readonly metrics: Metrics };

/** Who is let in, by how this process's event loop is doing. */
export function createOverloadAdmission({ postern }: Config, { clock, metrics }: Parts): Admission {
  const { max_delay_ms, utilization, serving_share } = postern.limits.overload;
  let before: EventLoopUtilization = performance.eventLoopUtilization();
  return createAdmission({
    clock,
    maxDelayMs: max_delay_ms,
    utilization,
    servingShare: serving_share,
    busyShare: () => {
      const now = performance.eventLoopUtilization();
      const between = performance.eventLoopUtilization(now, before);
      before = now;
      return between.utilization;
    },
    maxWaiting: postern.evaluation.max_in_flight,
    whenRead: (run) => void setImmediate(run),
    soon: (run) => process.nextTick(run),
    onServed: metrics.waited,
  });
}
