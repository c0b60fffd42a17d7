import Type, { type Static } from 'typebox';
import { count, section, strict, text } from './kinds.ts';

export const store = Type.Object(
  {
    path: text('Directory of the log, made when it is not there; for its owner only.'),
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
  },
  { ...strict, description: 'A log of decisions that survives a crash. Without this section there is none.' },
);

export type StoreConfig = Static<typeof store>;
