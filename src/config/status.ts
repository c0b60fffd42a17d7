import Type, { type Static } from 'typebox';
import { flag, section, text } from './kinds.ts';

/** https://www.openpolicyagent.org/docs/management-status */
export const status = Type.Object(
  {
    service: Type.Optional(
      text('Entry of `services` that is told. The only one, unless `console` or `prometheus` is set.'),
    ),
    partition_name: Type.String({ description: 'Sent to `/status/PARTITION` instead of `/status`.', default: '' }),
    trigger: Type.Union([Type.Literal('periodic'), Type.Literal('manual')], {
      description: '`manual`: sent only after a look that somebody asked for.',
      default: 'periodic',
    }),
    console: flag("Write each status to Postern's own log.", false),
    prometheus: flag("Also export the metrics of OPA's status plugin, by their names there.", false),
    prometheus_config: section({
      collectors: section({
        bundle_loading_duration_ns: section({
          buckets: Type.Array(Type.Number({ exclusiveMinimum: 0 }), {
            description: 'Upper bounds of the buckets, ns.',
            default: Array.from({ length: 20 }, (_, i) => 1000 * 2 ** i),
            minItems: 1,
            maxItems: 100,
          }),
        }),
      }),
    }),
  },
  { description: 'Reports of what is active and what went wrong. Without this section there are none.' },
);

export type StatusConfig = Static<typeof status>;

/** The service that is told; undefined: none. OPA's default, where it does not depend on an order. */
export function statusService(config: StatusConfig | undefined, services: readonly string[]): string | undefined {
  if (config === undefined || config.service !== undefined) return config?.service;
  return config.console || config.prometheus ? undefined : services[0];
}

/** What is wrong with `status`. */
export function statusProblems(config: StatusConfig | undefined, services: readonly string[]): readonly string[] {
  if (config === undefined) return [];
  const problems: string[] = [];
  const { service, console, prometheus, prometheus_config } = config;
  if (service !== undefined && !services.includes(service)) {
    problems.push(`status.service: no service is called ${service}`);
  }
  if (service === undefined && !console && !prometheus && services.length !== 1) {
    problems.push(`status.service: needed, because there are ${services.length} services`);
  }
  const { buckets } = prometheus_config.collectors.bundle_loading_duration_ns;
  if (buckets.some((bound, i) => bound <= (buckets[i - 1] ?? 0))) {
    problems.push('status.prometheus_config.collectors.bundle_loading_duration_ns.buckets: bounds must grow');
  }
  return problems;
}
