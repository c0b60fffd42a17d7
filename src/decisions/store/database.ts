import {
  BIGINT,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBTimestampTZValue,
  type DuckDBType,
  type DuckDBValue,
  INTEGER,
  TIMESTAMPTZ,
  VARCHAR,
} from '@duckdb/node-api';
import { createOneByOne } from '../../lib/one-by-one.ts';
import { type ColumnName, columnList, columnNames, columnType, type Row } from './columns.ts';

export type Value = string | number | bigint | null;
export type Values = { readonly [name: string]: Value };

/** A statement took longer than it may. */
export class TooSlow extends Error {}

export type Database = {
  /** Rows in the order of the statement's columns. Rejects with TooSlow after `withinMs`. */
  readonly ask: (sql: string, values: Values, withinMs: number) => Promise<readonly (readonly Value[])[]>;
  /** For what is the store's own doing and takes as long as it takes. */
  readonly run: (sql: string) => Promise<readonly (readonly Value[])[]>;
  readonly append: (segment: string, rows: readonly Row[]) => Promise<void>;
  readonly close: () => void;
};

export type DatabaseOptions = {
  readonly memoryBytes: number;
  /** Where it may put what does not fit into memory. */
  readonly spillFolder: string;
};

/** What is in the tail, beside the columns of decisions. */
const TAIL = `segment VARCHAR, ${columnNames.map((name) => `${name} ${columnType(name)}`).join(', ')}`;
const CHUNK_ROWS = 2048;

/** A single-quoted literal of SQL; only for what the store itself has named. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** DuckDB in memory, with the table `tail`: decisions that are in no Parquet file yet. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: `${Math.floor(options.memoryBytes / 1_048_576)}MiB`,
    threads: '2',
    temp_directory: options.spillFolder,
    max_temp_directory_size: '2GiB',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    preserve_insertion_order: 'true',
  });
  const own = await instance.connect();
  await own.run("SET TimeZone = 'UTC'");
  await own.run(`CREATE TABLE tail (${TAIL})`);
  /** A connection does one thing at a time. */
  const inTurn = createOneByOne();

  async function ask(sql: string, values: Values, withinMs: number): Promise<readonly (readonly Value[])[]> {
    const connection = await instance.connect();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      connection.interrupt();
    }, withinMs);
    try {
      return await rowsOf(connection, sql, values);
    } catch (error) {
      throw late ? new TooSlow('it takes too long') : error;
    } finally {
      clearTimeout(timer);
      connection.closeSync();
    }
  }

  async function append(segment: string, rows: readonly Row[]): Promise<void> {
    const appender = await own.createAppender('tail');
    try {
      for (let at = 0; at < rows.length; at += CHUNK_ROWS) {
        const part = rows.slice(at, at + CHUNK_ROWS);
        const chunk = DuckDBDataChunk.create(appendTypes, part.length);
        chunk.setColumns([
          part.map(() => segment),
          ...columnNames.map((name) => part.map((row) => duckValueOf(name, row[name]))),
        ]);
        appender.appendDataChunk(chunk);
      }
      appender.flushSync();
    } finally {
      appender.closeSync();
    }
  }

  return {
    ask,
    run: (sql) => inTurn(() => rowsOf(own, sql, {})),
    append: (segment, rows) => inTurn(() => append(segment, rows)),
    close: () => {
      own.closeSync();
      instance.closeSync();
    },
  };
}

const duckTypes: { readonly [type: string]: DuckDBType } = {
  TIMESTAMPTZ,
  VARCHAR,
  INTEGER,
  BIGINT,
  JSON: VARCHAR,
};
const appendTypes: readonly DuckDBType[] = [
  VARCHAR,
  ...columnNames.map((name) => duckTypes[columnType(name)] ?? VARCHAR),
];

function duckValueOf(name: ColumnName, value: string | number | null): DuckDBValue {
  if (value === null || typeof value === 'string') return value;
  if (columnType(name) === 'TIMESTAMPTZ') return new DuckDBTimestampTZValue(BigInt(value));
  return columnType(name) === 'BIGINT' ? BigInt(value) : value;
}

async function rowsOf(
  connection: DuckDBConnection,
  sql: string,
  values: Values,
): Promise<readonly (readonly Value[])[]> {
  const reader = await connection.runAndReadAll(sql, { ...values });
  return reader.getRows() as Value[][];
}

/** All columns of a segment that is in the tail, as they go into its Parquet file. */
export const tailOf = (segment: string): string => `SELECT ${columnList} FROM tail WHERE segment = ${literal(segment)}`;

/** Forgets a segment that is in the tail. */
export async function dropTail(database: Database, segment: string): Promise<void> {
  await database.run(`DELETE FROM tail WHERE segment = ${literal(segment)}`);
}
