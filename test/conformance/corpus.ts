import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** One of OPA's conformance cases, with its compiled module. Field names are those of OPA's case files. */
export type ConformanceCase = {
  readonly suite: 'v0' | 'v1' | 'wasm';
  readonly file: string;
  readonly note: string;
  readonly input_text?: string;
  readonly want_defined?: boolean;
  readonly want_error?: string;
  readonly want_error_code?: string;
  readonly sort_bindings?: boolean;
  readonly strict_error?: boolean;
  /** The expected result set and the base document as text with every digit. */
  readonly wantResultText: string | undefined;
  readonly dataText: string;
  readonly wasm: () => Uint8Array;
};

type Line = Omit<ConformanceCase, 'wasm'> & { readonly chunks: readonly (readonly [first: number, count: number])[] };

const folder = join(import.meta.dirname, '../../.tools/conformance');

/** Reads what test/conformance/corpus (a Go program, run by scripts/tools) has compiled. */
export function readCorpus(): readonly ConformanceCase[] {
  const chunks = readChunks(gunzipSync(readFileSync(join(folder, 'chunks.gz'))));
  const lines = gunzipSync(readFileSync(join(folder, 'cases.ndjson.gz')))
    .toString('utf8')
    .trim()
    .split('\n');
  return lines.map((text) => {
    const line = JSON.parse(text) as Line & { readonly want_result_text?: string; readonly data_text?: string };
    return {
      ...line,
      wantResultText: line.want_result_text,
      dataText: line.data_text ?? '{}',
      wasm: () => Buffer.concat(line.chunks.flatMap(([first, count]) => chunks.slice(first, first + count))),
    };
  });
}

function readChunks(bytes: Buffer): readonly Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    chunks.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return chunks;
}
