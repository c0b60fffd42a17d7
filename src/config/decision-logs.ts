import { flag, section, text } from './kinds.ts';

/** Where the rules are unless they are somewhere else. */
export const usualRules = { mask: '/system/log/mask', drop: '/system/log/drop' } as const;

/** https://www.openpolicyagent.org/docs/management-decision-logs */
export const decisionLogs = section({
  console: flag('Write each decision to standard output.', false),
  mask_decision: text(
    'Rule of the policy that says what of a decision is not written; it has to be an entrypoint of the bundle.',
    { default: usualRules.mask },
  ),
  drop_decision: text('Rule of the policy that says which decisions are not written, likewise.', {
    default: usualRules.drop,
  }),
});
