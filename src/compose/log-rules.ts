import { usualRules } from '../config/decision-logs.ts';
import type { Config } from '../config/schema.ts';
import { withoutSlashes } from '../lib/without-slashes.ts';
import type { LogRules } from '../model/evaluation.ts';
import type { Logger } from '../telemetry/logger.ts';

/** The paths of the rules about the decision log, without slashes around them. */
export const logPaths = ({ decision_logs: { drop_decision, mask_decision } }: Config) => ({
  drop: withoutSlashes(drop_decision),
  mask: withoutSlashes(mask_decision),
});

/** Warns when a policy lacks a rule that the configuration names. One at the usual path may be missing. */
export function warnOfMissing(rules: LogRules | undefined, config: Config, log: Pick<Logger, 'warn'>): void {
  for (const rule of ['drop', 'mask'] as const) {
    const path = config.decision_logs[`${rule}_decision`];
    if (path === usualRules[rule] || rules?.[rule] !== undefined) continue;
    log.warn({ path }, `the policy has no such entrypoint: nothing follows decision_logs.${rule}_decision`);
  }
}
