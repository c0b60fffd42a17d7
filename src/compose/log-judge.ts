import type { Settings } from '../cli/ports.ts';
import { createJudge, type Judge, type JudgeOptions } from '../decisions/mask/judge.ts';
import type { Clock } from '../lib/clock.ts';
import { createNowAndThen } from '../lib/now-and-then.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** Between two words about the same rule, ms: it may fail with every request. */
const QUIET_MS = 10_000;

type LogJudgeParts = Pick<Settings, 'log'> & { readonly clock: Clock; readonly metrics: Metrics };

/** What the policies say about the log, counted and told of. */
export function createLogJudge({ clock, metrics, log }: LogJudgeParts): Judge {
  const words = createNowAndThen(QUIET_MS, clock);
  const onFailed: JudgeOptions['onFailed'] = (rule, why) => {
    metrics.logRuleFailed(rule);
    if (!words.isDue(rule)) return;
    const what = rule === 'mask' ? 'events are logged without input and result' : 'decisions are logged';
    log.error({ rule, cause: why }, `the ${rule} rule of the decision log failed: ${what}`);
  };
  return createJudge({ onDropped: metrics.logDroppedByPolicy, onFailed });
}
