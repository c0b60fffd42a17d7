import type { Evaluation, LogRule } from '../../model/evaluation.ts';
import type { DecisionRecord } from '../../model/record.ts';
import { type Operation, readOperations, removeAll } from './operation.ts';

/** What becomes of an event: it is not written, or what the policy's rules leave of it. */
export type Verdict = 'drop' | readonly Operation[];

/**
 * Asks the policy that made a decision about its event, once, however often it is written: two outputs must not get two
 * answers. `event` gives the JSON text as the policy may see it. Never throws.
 */
export type Judge = (record: DecisionRecord, event: () => string) => Verdict;

export type JudgeOptions = {
  readonly onDropped: () => void;
  /** The rule has no answer, or none that can be followed; why, without anything of the request. */
  readonly onFailed: (rule: 'drop' | 'mask', why: string) => void;
};

export const keepAll: Judge = () => [];

/**
 * A decision is dropped when the drop rule says exactly `true`; when it fails, the decision is kept. When the mask rule
 * fails, nothing of what it could have been about is kept.
 */
export function createJudge({ onDropped, onFailed }: JudgeOptions): Judge {
  const verdicts = new WeakMap<DecisionRecord, Verdict>();

  function judge({ logRules }: DecisionRecord, event: () => string): Verdict {
    const { drop, mask } = logRules ?? {};
    if (drop === undefined && mask === undefined) return [];
    const text = orUndefined(event);
    if (drop !== undefined) {
      const answer = answerOf(drop, text);
      if (answer.ok && answer.results.length === 1 && answer.results[0] === true) {
        onDropped();
        return 'drop';
      }
      if (!answer.ok) onFailed('drop', answer.reason);
    }
    if (mask === undefined) return [];
    const answer = answerOf(mask, text);
    const [result, ...more] = answer.ok ? answer.results : [];
    if (answer.ok && result === undefined) return [];
    const operations = result === undefined || more.length > 0 ? undefined : readOperations(result);
    if (operations === undefined) onFailed('mask', answer.ok ? 'its result is no list of rules' : answer.reason);
    return operations ?? removeAll;
  }

  return (record, event) => {
    if (record.logRules === undefined) return [];
    const known = verdicts.get(record);
    if (known !== undefined) return known;
    const verdict = judge(record, event);
    verdicts.set(record, verdict);
    return verdict;
  };
}

type Answer = Evaluation | { readonly ok: false; readonly reason: string };

function answerOf(rule: LogRule, event: string | undefined): Answer {
  const answer = event === undefined ? undefined : orUndefined(() => rule(event));
  if (answer === undefined) return { ok: false, reason: 'internal_error' };
  return answer instanceof Promise ? { ok: false, reason: 'it would have to be waited for' } : answer;
}

function orUndefined<T>(attempt: () => T): T | undefined {
  try {
    return attempt();
  } catch {
    return undefined;
  }
}
