import Type, { type Static } from 'typebox';
import { isTree, type Tree } from './discovery.ts';
import { count, flag, seconds, section, text } from './kinds.ts';

/** Where the rules are unless they are somewhere else. */
export const usualRules = { mask: '/system/log/mask', drop: '/system/log/drop' } as const;

const reporting = section({
  min_delay_seconds: seconds('Shortest time between two uploads.', 300),
  max_delay_seconds: seconds('Longest time between two uploads, and after a failed one.', 600),
  upload_size_limit_bytes: count(
    'Largest body of a request, compressed. A decision that alone is larger is sent without `nd_builtin_cache`, or not at all.',
    32_768,
    90,
    4_294_967_296,
  ),
  buffer_size_limit_bytes: Type.Optional(
    Type.Integer({
      description:
        'How much may wait for the service, compressed (estimated); the oldest is given up beyond. Without it, and besides, `retention` of `postern.store` holds, or 168 hours and 1 GiB without a store.',
      minimum: 1,
    }),
  ),
  max_decisions_per_second: Type.Optional(
    Type.Number({
      description: 'Most decisions of one second that are sent; others are dropped.',
      exclusiveMinimum: 0,
    }),
  ),
  trigger: Type.Union([Type.Literal('periodic'), Type.Literal('immediate'), Type.Literal('manual')], {
    description:
      '`periodic`: sent after each delay; `immediate`: also as soon as a request is full; `manual`: only after a look at bundles that somebody asked for.',
    default: 'periodic',
  }),
});

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
  service: Type.Optional(
    text(
      'Entry of `services` that decisions are sent to. The only one, if this section is written out without `console`.',
    ),
  ),
  partition_name: Type.String({ description: 'Sent to `/logs/PARTITION` instead of `resource`.', default: '' }),
  resource: text('Path below the service that decisions are sent to.', { default: '/logs' }),
  reporting,
});

export type DecisionLogsConfig = Static<typeof decisionLogs>;

/**
 * Names the service where OPA does so itself: in a section that is written out with neither `console` nor `plugin`.
 * Returns what is wrong where there are several to choose from.
 */
export function fillLogService(tree: Tree): readonly string[] {
  const { decision_logs: logs, services } = tree;
  if (!isTree(logs) || !isTree(services) || logs['console'] === true) return [];
  if (['service', 'plugin'].some((key) => (logs[key] ?? '') !== '')) return [];
  const [only, ...others] = Object.keys(services);
  if (others.length > 0) return [`decision_logs.service: needed, because there are ${others.length + 1} services`];
  if (only !== undefined) (logs as { service?: unknown }).service = only;
  return [];
}

/** What is wrong with `decision_logs`. */
export function decisionLogsProblems(config: DecisionLogsConfig, services: readonly string[]): readonly string[] {
  const { service, reporting: given } = config;
  const problems: string[] = [];
  if (service !== undefined && !services.includes(service)) {
    problems.push(`decision_logs.service: no service is called ${service}`);
  }
  if (given.min_delay_seconds > given.max_delay_seconds) {
    problems.push('decision_logs.reporting: min_delay_seconds is above max_delay_seconds');
  }
  if (given.buffer_size_limit_bytes !== undefined && given.max_decisions_per_second !== undefined) {
    problems.push('decision_logs.reporting: one of buffer_size_limit_bytes and max_decisions_per_second, not both');
  }
  return problems;
}
