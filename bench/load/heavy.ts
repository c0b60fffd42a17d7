/*
 * `npm run bench:heavy`: how long small requests wait while others ask for more than an evaluation may take. Requests are
 * sent at a fixed rate, whatever the answers do; latencies count from when a request was due. Each kind of heavy request
 * is compared with a run of the same length without it, before and after.
 */
import { type ClientHttp2Session, connect } from 'node:http2';
import { httpRequest, readResponse } from '../../test/support/grpc.ts';
import { createScope } from '../../test/support/scope.ts';
import { buildPolicy, scratchFolder, startPostern } from '../../test/support/servers.ts';
import { callCheck, framed } from './client.ts';

const SMALL_PER_SECOND = Number(process.env['BENCH_RATE'] ?? 500);
const HEAVY_PER_SECOND = Number(process.env['BENCH_HEAVY'] ?? 50);
const ROUND_MS = Number(process.env['BENCH_MS'] ?? 5000);

const policy = `package envoy.authz

headers := input.attributes.request.http.headers

path := input.attributes.request.http.path

allow if startswith(path, "/small/")

xs := split(headers["x-list"], ",")

allow if {
	path == "/cubic"
	some a in xs
	some b in xs
	some c in xs
	concat("", [a, b, c]) == "none"
}

allow if {
	path == "/range"
	count(numbers.range(1, to_number(headers["x-n"]))) < 0
}

allow if {
	path == "/split"
	count(regex.split(headers["x-pattern"], headers["x-text"])) < 0
}

allow if {
	path == "/yaml"
	yaml.unmarshal(headers["x-text"]).none
}

allow if {
	path == "/sprintf"
	sprintf(headers["x-text"], [1]) == "none"
}
`;

const alias = (n: number): string =>
  Array.from(
    { length: n },
    (_, i) => `${'abcdefghij'[i]}: &${i} [${i === 0 ? 'x' : `${`*${i - 1},`.repeat(9)}`}]`,
  ).join('\n');

const heavy: {
  readonly [name: string]: { readonly path: string; readonly headers: { readonly [name: string]: string } };
} = {
  'a cubic comprehension': { path: '/cubic', headers: { 'x-list': Array.from({ length: 400 }, (_, i) => i).join() } },
  'numbers.range(1, 1e9)': { path: '/range', headers: { 'x-n': '1000000000' } },
  'a pattern that backtracks elsewhere': {
    path: '/split',
    headers: { 'x-pattern': '(a|aa|aaa){200}$', 'x-text': `${'a'.repeat(20_000)}!` },
  },
  'aliases of aliases in YAML': { path: '/yaml', headers: { 'x-text': alias(10) } },
  'a width of a million': { path: '/sprintf', headers: { 'x-text': '%999999d'.repeat(50) } },
};

const scope = createScope();
const out = (line: string): void => void process.stdout.write(`${line}\n`);
type Round = { readonly p50: number; readonly p99: number; readonly heavyStatuses: string };

async function round(
  session: ClientHttp2Session,
  other: ClientHttp2Session,
  disturbing: Buffer | undefined,
): Promise<Round> {
  const latencies: number[] = [];
  const statuses = new Map<string, number>();
  const pending: Promise<void>[] = [];
  const start = performance.now();
  let small = 0;
  let large = 0;
  while (performance.now() - start < ROUND_MS) {
    const elapsed = performance.now() - start;
    while (small < (elapsed / 1000) * SMALL_PER_SECOND) {
      const due = start + (small / SMALL_PER_SECOND) * 1000;
      const body = framed(httpRequest({ path: `/small/${small++}` }));
      pending.push(
        callCheck(session, body).then((response) => {
          const { code = 0 } = (readResponse(response)['status'] ?? {}) as { readonly code?: number };
          if (code !== 0) throw new Error(`a small request was answered ${code}`);
          latencies.push(performance.now() - due);
        }),
      );
    }
    while (disturbing !== undefined && large < (elapsed / 1000) * HEAVY_PER_SECOND) {
      large++;
      pending.push(
        callCheck(other, disturbing).then((response) => {
          const denied = readResponse(response)['deniedResponse'] as
            | { readonly status?: { readonly code?: number } }
            | undefined;
          const code = String(denied?.status?.code ?? (response.length === 0 ? 'none' : 'allowed'));
          statuses.set(code, (statuses.get(code) ?? 0) + 1);
        }),
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), heavyStatuses: [...statuses].map(([code, n]) => `${n} × ${code}`).join(', ') };
}

try {
  const folder = scratchFolder(scope);
  const server = await startPostern(scope, {
    folder,
    args: ['--bundle', buildPolicy(policy, folder)],
    config: { postern: { paths: 'off', evaluation: { budget_ms: 1000 } } },
  });
  const [session, other] = [connect(`http://${server.grpc}`), connect(`http://${server.grpc}`)];
  scope.after(() => {
    session.destroy();
    other.destroy();
  });
  await round(session, other, undefined);
  out(
    `${SMALL_PER_SECOND} small requests per second, ${HEAVY_PER_SECOND} heavy ones; latencies of the small ones in ms\n`,
  );
  out('| with | p50 | p99 | p99 without | ratio | heavy ones were answered |\n|---|---|---|---|---|---|');
  for (const [name, request] of Object.entries(heavy)) {
    const before = await round(session, other, undefined);
    const during = await round(session, other, framed(httpRequest(request)));
    const after = await round(session, other, undefined);
    const normal = (before.p99 + after.p99) / 2;
    const ratio = (during.p99 / normal).toFixed(2);
    out(
      `| ${name} | ${during.p50.toFixed(2)} | ${during.p99.toFixed(2)} | ${normal.toFixed(2)} | ${ratio} | ${during.heavyStatuses} |`,
    );
  }
} finally {
  await scope.close();
}
