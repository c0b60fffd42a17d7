import Type, { type Static } from 'typebox';
import { count, section, strict, text } from './kinds.ts';

/** Where decisions are kept so that they can be asked for. */
export const store = Type.Object(
  {
    path: text('Folder that decisions are kept in; of one server only.', { default: './data/decisions' }),
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
      },
      strict,
    ),
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
  { ...strict, description: 'Keep decisions so that they can be asked for. Without this section they are not kept.' },
);

export type StoreConfig = Static<typeof store>;
