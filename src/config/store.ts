import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import { count, nullable, section, strict, text } from './kinds.ts';

export const store = Type.Object(
  {
    path: text('Directory that decisions are kept in, made when it is not there; of one server only.', {
      default: './data/decisions',
    }),
    durability: Type.Union([Type.Literal('group'), Type.Literal('async'), Type.Literal('sync')], {
      description:
        '`group`: decisions are on the disk (fsync) within 100 ms, many at once; `async`: they are written within 100 ms, and reach the disk when the system likes; `sync`: each answer waits until its record is on the disk.',
      default: 'group',
    }),
    on_overflow: Type.Union([Type.Literal('drop'), Type.Literal('deny')], {
      description:
        'What happens when the log has no room or cannot be written. `drop`: decisions go unrecorded, which is counted and noted in the log; `deny`: requests are answered 503 (`log_unavailable`).',
      default: 'drop',
    }),
    queue: section(
      {
        records: count('Decisions that may wait to be written.', 10_000, 1, 10_000_000),
        bytes: count('How much memory they may take, bytes (estimated).', 67_108_864, 65_536, 10_737_418_240),
      },
      strict,
    ),
    segment_bytes: count(
      'A file of the log is finished at this size, or when it is 10 s old.',
      16_777_216,
      65_536,
      1_073_741_824,
    ),
    input: Type.Union([Type.Literal('masked'), Type.Literal('full'), Type.Literal('off')], {
      description:
        '`masked`: the input without bodies and secrets; `full`: with bodies, still without what is recognised as a secret (credentials, cookies, keys); `off`: no input.',
      default: 'masked',
    }),
    retention: section(
      {
        hours: Type.Number({
          description: 'How old decisions become before they are removed.',
          default: 168,
          exclusiveMinimum: 0,
          maximum: 87_600,
        }),
        max_bytes: count(
          'How much may be kept; the oldest are removed before their time.',
          10_737_418_240,
          1_048_576,
          1_125_899_906_842_624,
        ),
        bundle_bytes: count(
          'How much the bundles may take that decisions were made with, and that do not serve any more.',
          1_073_741_824,
          0,
          1_125_899_906_842_624,
        ),
      },
      strict,
    ),
    archive: nullable(
      'Where finished Parquet files are copied to, for engines that ask whole fleets: `s3://BUCKET/PREFIX`. Server and region as in `postern.s3`.',
    ),
    archive_after_seconds: Type.Number({
      description: 'How old decisions become before they are archived, so that there are not too many small files.',
      default: 300,
      minimum: 1,
      maximum: 3600,
    }),
    memory_bytes: count(
      'Most memory of the database, which is in a process of its own. Statements in SQL have half as much in another.',
      536_870_912,
      268_435_456,
      68_719_476_736,
    ),
    query: section(
      {
        timeout_ms: count('How long a question may take.', 2000, 100, 60_000),
        max_rows: count('Most rows of an answer to a statement in SQL; what is beyond is cut off.', 10_000, 1, 100_000),
      },
      strict,
    ),
  },
  {
    ...strict,
    description: 'A log of decisions that survives a crash and can be asked. Without this section there is none.',
  },
);

export type StoreConfig = Static<typeof store>;

/** Without a store, what waits for a service is bounded by this, bytes. */
const WAITING_BYTES = 1_073_741_824;

/** The log on the disk: that of the store, or one that is only kept until a service has it. Undefined: there is none. */
export function walConfig(config: {
  readonly postern: { readonly store?: StoreConfig };
  readonly decision_logs: { readonly service?: string };
  readonly persistence_directory: string;
}): StoreConfig | undefined {
  if (config.postern.store !== undefined || config.decision_logs.service === undefined) return config.postern.store;
  const defaults = Value.Default(store, {}) as StoreConfig;
  return {
    ...defaults,
    path: join(config.persistence_directory, 'decisions'),
    retention: { ...defaults.retention, max_bytes: WAITING_BYTES },
  };
}
