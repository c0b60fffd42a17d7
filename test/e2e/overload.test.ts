import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { describe, type TestContext, test } from 'node:test';
import { callCheck, framed } from '../../bench/load/client.ts';
import { ask, startEnvoy, startUpstream } from '../support/envoy.ts';
import { httpRequest, readResponse } from '../support/grpc.ts';
import { eventually } from '../support/process.ts';
import { buildPolicy, type Server, scratchFolder, startPostern } from '../support/servers.ts';

/** Takes about as long as a policy of a few hundred rules. */
const policy = `package envoy.authz

default allow := false

allow if {
	input.attributes.request.http.path == "/fine"
	sum(numbers.range(1, 400)) > 0
}
`;

/** How a call ended, for a comparison. */
function kindOf(response: Buffer): string {
  if (response.length === 0) return 'no answer';
  const { status, deniedResponse } = readResponse(response) as {
    readonly status?: { readonly code?: number };
    readonly deniedResponse?: {
      readonly status?: { readonly code?: number };
      readonly headers?: readonly { readonly header: { readonly key: string; readonly value: string } }[];
    };
  };
  const retry = deniedResponse?.headers?.find(({ header }) => header.key === 'retry-after')?.header.value;
  return `${status?.code ?? 0} ${deniedResponse?.status?.code ?? '-'} ${retry ?? '-'}`;
}

async function start(context: TestContext): Promise<Server> {
  const folder = scratchFolder(context);
  return startPostern(context, {
    folder,
    args: ['--bundle', buildPolicy(policy, folder)],
    config: { postern: { limits: { overload: { max_delay_ms: 1, utilization: 0 } } } },
  });
}

const countOf = async ({ diagnostic }: Server, reason: string): Promise<number> => {
  const text = await (await fetch(`http://${diagnostic}/metrics`)).text();
  return Number(new RegExp(`^postern_decisions_total\\{[^}]*reason="${reason}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
};

describe('more calls at once than can be answered in time', () => {
  test('are allowed, or refused with 503 and Retry-After, and never anything else; afterwards all is well', async (context) => {
    const server = await start(context);
    const sessions = Array.from({ length: 4 }, () => connect(`http://${server.grpc}`));
    context.after(() => {
      for (const session of sessions) session.destroy();
    });
    const [fine, denied] = ['/fine', '/denied'].map((path) => framed(httpRequest({ path }))) as [Buffer, Buffer];
    const seen = new Map<string, number>();
    for (let round = 0; round < 5; round++) {
      const calls = sessions.flatMap((session) =>
        Array.from({ length: 400 }, async (_, i) => {
          const isFine = i % 2 === 0;
          const kind = kindOf(await callCheck(session, isFine ? fine : denied));
          const name = `${isFine ? 'fine' : 'denied'}: ${kind}`;
          seen.set(name, (seen.get(name) ?? 0) + 1);
        }),
      );
      await Promise.all(calls);
    }
    assert.deepEqual(
      [...seen.keys()].sort(),
      ['denied: 14 503 1', 'denied: 7 - -', 'fine: 0 - -', 'fine: 14 503 1'],
      JSON.stringify([...seen]),
    );
    const refused = (seen.get('fine: 14 503 1') ?? 0) + (seen.get('denied: 14 503 1') ?? 0);
    assert.equal(await countOf(server, 'overloaded'), refused);
    assert.equal(await countOf(server, 'policy_allowed'), seen.get('fine: 0 - -'));
    for (let i = 0; i < 20; i++) {
      assert.equal(kindOf(await callCheck(sessions[0] as (typeof sessions)[0], fine)), '0 - -');
    }
    assert.match(server.stderr(), /more is asked than can be answered in time/);
    assert.ok((await fetch(`http://${server.diagnostic}/health/ready`)).ok);
  });

  test('do not come through an Envoy that lets failures through', async (context) => {
    const server = await start(context);
    const upstream = await startUpstream(context);
    const envoy = await startEnvoy(context, {
      folder: scratchFolder(context),
      servers: [server.grpc],
      upstream: upstream.address,
      failureModeAllow: true,
    });
    let allowed = 0;
    await eventually(async () => {
      const replies = await Promise.all(Array.from({ length: 300 }, () => ask(envoy.port, '/fine')));
      for (const { status, headers } of replies) {
        if (status === 200) allowed++;
        else assert.deepEqual([status, headers['retry-after']], [503, '1']);
      }
      return (await countOf(server, 'overloaded')) > 0 ? true : undefined;
    });
    assert.equal(upstream.seen.length, allowed);
    assert.equal(await envoy.stat('http.in.ext_authz.failure_mode_allowed'), 0);
    assert.equal(await envoy.stat('http.in.ext_authz.error'), 0);
    assert.equal((await ask(envoy.port, '/fine')).status, 200);
  });
});
