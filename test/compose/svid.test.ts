import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { isAnchored } from '../../src/compose/svid.ts';
import { createTls } from '../../src/compose/tls.ts';
import { refusalOfClient } from '../../src/identity/workload-api/client-svid.ts';
import { readX509Response } from '../../src/identity/workload-api/x509-svid.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { startAgent } from '../support/agent.ts';
import { type IssueOptions, issue } from '../support/certificates.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { createTrustDomain, derOf, type TrustDomain, x509Response } from '../support/spiffe.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const own = createTrustDomain(folder, 'example.org');
const partner = createTrustDomain(folder, 'partner.org');
const message = x509Response([{ ...own.svid('/postern'), bundle: own.bundle }], [partner]);
const contextWith = (trustDomains: readonly string[]): ReturnType<typeof readX509Response> =>
  readX509Response(message, { spiffeId: undefined, trustDomains, nowMs: Date.now() });
const leaf = (domain: TrustDomain, path: string, options?: IssueOptions): X509Certificate =>
  new X509Certificate(domain.svid(path, options).chain);

describe('a client that one of the authorities vouches for', () => {
  const judge = (client: X509Certificate, allowed: readonly string[], trustDomains = ['partner.org']): unknown =>
    refusalOfClient(client, contextWith(trustDomains), { allowed, isAnchored });

  test('is let in by its SPIFFE ID, be it ours or a federated one', () => {
    for (const domain of [own, partner]) {
      const id = `spiffe://${domain.name}/a`;
      assert.equal(judge(leaf(domain, '/a'), [id]), undefined);
      assert.deepEqual(judge(leaf(domain, '/b'), [id]), ['client_not_allowed', `spiffe://${domain.name}/b`]);
    }
  });

  test('needs no list when it is of our own trust domain', () => {
    assert.equal(judge(leaf(own, '/a'), []), undefined);
    assert.deepEqual(judge(leaf(partner, '/a'), []), ['client_not_allowed', 'spiffe://partner.org/a']);
  });

  test("is turned away with a name in another's trust domain", () => {
    for (const [signer, name] of [
      [own, 'partner.org'],
      [partner, 'example.org'],
    ] as const) {
      const id = `spiffe://${name}/a`;
      const [kind, cause] = judge(leaf(signer, '/x', { san: `URI:${id}` }), [id]) as [string, string];
      assert.deepEqual([kind, cause], ['client_unverified', `${id}: its own trust domain does not vouch for it`]);
    }
    const unknown = leaf(own, '/x', { san: 'URI:spiffe://unknown.org/a' });
    for (const trustDomains of [[], ['partner.org']]) {
      const [kind, cause] = judge(unknown, ['spiffe://unknown.org/a'], trustDomains) as [string, string];
      assert.deepEqual([kind, cause], ['client_unverified', 'spiffe://unknown.org/a: another trust domain']);
    }
  });

  test('is turned away when its certificate is no X509-SVID', () => {
    const id = 'spiffe://example.org/a';
    const odd: readonly (readonly [IssueOptions, RegExp])[] = [
      [{ san: `URI:${id},URI:spiffe://example.org/b` }, /2 URI names/],
      [{ san: 'DNS:example.org' }, /0 URI names/],
      [{ san: 'URI:spiffe://example.org' }, /not the SPIFFE ID of a workload/],
      [{ constraints: 'CA:TRUE' }, /an authority/],
      [{ keyUsage: 'keyCertSign' }, /key usage/],
    ];
    for (const [options, cause] of odd) {
      const [kind, text] = judge(leaf(own, '/a', options), [id]) as [string, string];
      assert.equal(kind, 'client_unverified');
      assert.match(text, cause);
    }
  });
});

describe('a chain', () => {
  const middle = issue(own.authority, folder, 'middle', {
    ...{ san: '', usage: '', constraints: 'CA:TRUE,pathlen:0', keyUsage: 'keyCertSign' },
  });
  const below = derOf(issue(middle, folder, 'below', { san: 'URI:spiffe://example.org/a' }).cert);
  const pretender = own.svid('/pretender');
  const forged = derOf(issue(pretender.pair, folder, 'forged', { san: 'URI:spiffe://example.org/a' }).cert);

  test('ends at an authority directly or by way of others, or does not', () => {
    const direct = own.svid('/a').chain;
    assert.equal(isAnchored([direct], [partner.bundle, own.bundle]), true);
    assert.equal(isAnchored([direct], [partner.bundle]), false);
    assert.equal(isAnchored([below, derOf(middle.cert)], [own.bundle]), true);
    assert.equal(isAnchored([below], [own.bundle]), false);
    assert.equal(isAnchored([below, derOf(middle.cert)], [partner.bundle]), false);
    assert.equal(isAnchored([forged, pretender.chain], [own.bundle]), false, 'a leaf signs for nobody');
    assert.equal(isAnchored([], [own.bundle]), false);
    assert.equal(isAnchored([direct], []), false);
  });

  test('of noise is refused', () => {
    assert.throws(() => isAnchored([Buffer.from('3003020101', 'hex')], [own.bundle]));
  });
});

test('an SVID that is not renewed in time is told of, once it has a quarter of its time left', async (context) => {
  const agent = await startAgent(context, join(folder, 'late.sock'));
  agent.x509(message);
  const lines: string[] = [];
  const stream = { write: (line: string) => lines.push(line) };
  let passed = 0;
  const clock = { wallMs: () => Date.now() + passed, monotonicMs: () => performance.now() + passed };
  const begin = async (): Promise<void> => {
    const tls = createTls(
      {
        workload_api: { socket: agent.socket, start_timeout_seconds: 20 },
        ...{ allowed_client_sans: [], min_version: 'TLSv1.3', api: false, reload_seconds: 5 },
      },
      {
        log: createLogger('warn', 'json', stream),
        metrics: createMetrics({ peerMetrics: false, peerBuckets: [] }),
        clock,
      },
    );
    await tls.part.start?.();
    await tls.part.stop?.();
  };
  // It has sixty days.
  passed = 40 * 86_400_000;
  await begin();
  assert.deepEqual(lines, []);
  passed = 50 * 86_400_000;
  await begin();
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /the TLS certificate expires soon/);
});
