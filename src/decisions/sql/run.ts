import {
  type DuckDBConnection,
  DuckDBDecimalValue,
  DuckDBInstance,
  DuckDBTimestampTZValue,
  type DuckDBValueConverter,
  JsonDuckDBValueConverter,
} from '@duckdb/node-api';
import { messageOf } from '../../lib/message.ts';
import { columnType, publicColumns } from '../store/columns.ts';
import { literal } from '../store/database.ts';
import { problemOf, TABLE } from './guard.ts';

export type Statement = {
  readonly sql: string;
  /** Parquet files that are the table. */
  readonly files: readonly string[];
  readonly maxRows: number;
  readonly memoryBytes: number;
  readonly timeoutMs: number;
};

type Cell = null | boolean | number | string | Cell[] | { [key: string]: Cell };
export type Table = {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly Cell[])[];
  /** There was more. */
  readonly truncated: boolean;
};

export type Ran =
  | { readonly ok: true; readonly table: Table }
  /** `refused`: it is the statement's fault; `cut`: it took too much; `failed`: something here could not be read. */
  | { readonly ok: false; readonly kind: 'refused' | 'cut' | 'failed'; readonly problem: string };

/** Longest statement, characters. */
export const MAX_STATEMENT = 65_536;
/** Most text of an answer, characters. */
const MAX_ANSWER = 8_388_608;
const UNREADABLE = /parquet|zstd|thrift|TProtocol|cannot open file|no such file|io error/i;

/** Runs one statement, in an instance of its own that sees these files and nothing else. Never rejects. */
export async function runStatement(statement: Statement): Promise<Ran> {
  if (statement.sql.length > MAX_STATEMENT) return refused('the statement is too long');
  // Where one reader takes it for the end, and another one does not.
  if (statement.sql.includes('\0')) return refused('the statement has a character that is none');
  const parser = await openFenced(statement, []);
  try {
    const [[serialized] = []] = await parser.ask('SELECT json_serialize_sql($sql::VARCHAR)', { sql: statement.sql });
    const problem = problemOf(String(serialized));
    if (problem !== undefined) return refused(problem);
  } catch (error) {
    return refused(firstLine(error));
  } finally {
    parser.close();
  }
  const fenced = await openFenced(statement, statement.files);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    fenced.connection.interrupt();
  }, statement.timeoutMs);
  try {
    return { ok: true, table: await readTable(fenced.connection, statement) };
  } catch (error) {
    const problem = firstLine(error);
    if (late) return { ok: false, kind: 'cut', problem: 'it takes too long' };
    if (/^Out of Memory/i.test(problem)) return { ok: false, kind: 'cut', problem: 'it takes too much memory' };
    if (UNREADABLE.test(problem)) return { ok: false, kind: 'failed', problem: 'a file could not be read' };
    return refused(problem);
  } finally {
    clearTimeout(timer);
    fenced.close();
  }
}

const refused = (problem: string): Ran => ({ ok: false, kind: 'refused', problem });
/** DuckDB adds the statement, and what else there might be. */
const firstLine = (error: unknown): string => messageOf(error).split('\n', 1)[0] ?? '';

type Fenced = {
  readonly connection: DuckDBConnection;
  readonly ask: (sql: string, values: { readonly [name: string]: string }) => Promise<readonly (readonly unknown[])[]>;
  readonly close: () => void;
};

async function openFenced({ memoryBytes }: Statement, files: readonly string[]): Promise<Fenced> {
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: `${Math.floor(memoryBytes / 1_048_576)}MiB`,
    threads: '2',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  const connection = await instance.connect();
  const list = files.map(literal).join(', ');
  const statements = [
    "SET temp_directory = ''",
    "SET TimeZone = 'UTC'",
    ...(files.length === 0 ? [] : [`SET allowed_paths = [${list}]`]),
    'SET enable_external_access = false',
    `CREATE VIEW ${TABLE} AS ${viewOf(list)}`,
    'SET lock_configuration = true',
  ];
  for (const sql of statements) await connection.run(sql);
  return {
    connection,
    ask: async (sql, values) => (await connection.runAndReadAll(sql, { ...values })).getRows(),
    close: () => {
      connection.closeSync();
      instance.closeSync();
    },
  };
}

function viewOf(list: string): string {
  if (list !== '') {
    return `SELECT ${publicColumns.join(', ')} FROM read_parquet([${list}], hive_partitioning = false)`;
  }
  const columns = publicColumns.map((name) => `NULL::${columnType(name)} AS ${name}`);
  return `SELECT ${columns.join(', ')} WHERE false`;
}

async function readTable(connection: DuckDBConnection, { sql, maxRows }: Statement): Promise<Table> {
  const result = await connection.stream(sql);
  const types = result.columnTypes();
  const columns = result.columnNames().map((name, i) => ({ name, type: types[i]?.alias ?? String(types[i]) }));
  const rows: Cell[][] = [];
  let size = 0;
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
    for (const row of chunk.convertRows(cellOf) as Cell[][]) {
      size += JSON.stringify(row).length;
      if (rows.length === maxRows || size > MAX_ANSWER) return { columns, rows, truncated: true };
      rows.push(row);
    }
  }
  return { columns, rows, truncated: false };
}

/** As JSON has it: numbers where they are exact, times in RFC 3339, everything else as its text. */
const cellOf: DuckDBValueConverter<Cell> = (value, type, converter) => {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof DuckDBTimestampTZValue) return rfc3339(value.micros) ?? String(value);
  if (value instanceof DuckDBDecimalValue) return value.width <= 15 ? Number(String(value)) : String(value);
  return JsonDuckDBValueConverter(value, type, converter as never) as Cell;
};

function rfc3339(micros: bigint): string | undefined {
  const us = Number(micros);
  const date = new Date(Math.floor(us / 1000));
  if (Number.isNaN(date.getTime())) return undefined;
  const fraction = String(((us % 1_000_000) + 1_000_000) % 1_000_000).padStart(6, '0');
  return `${date.toISOString().slice(0, 19)}.${fraction}Z`;
}
