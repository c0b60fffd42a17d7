import { flag, section } from './kinds.ts';

/** https://www.openpolicyagent.org/docs/management-decision-logs */
export const decisionLogs = section({
  console: flag('Write each decision to standard output.', false),
});
