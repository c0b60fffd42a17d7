import { encodeRequest } from '../../test/support/grpc.ts';
import { createSigner } from '../../test/support/tokens.ts';

export const benchIssuer = 'https://idp.bench/';

/** CheckRequests as Envoy sends them, about 1.4 KB each: every one has its own token, path and id. */
export async function benchRequests(
  count: number,
): Promise<{ readonly requests: readonly Buffer[]; readonly jwks: object }> {
  const signer = await createSigner(benchIssuer);
  const requests: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const token = await signer.sign(
      {
        sub: `user-${i}`,
        roles: ['analyst', 'viewer'],
        tenant: `tenant-${i % 50}`,
        region: 'eu',
        jti: `j-${i}`,
        email: `user-${i}@bench.example`,
        scope: 'openid profile email read:items write:items',
        azp: 'web-frontend',
        sid: `s-${i * 7919}`,
      },
      3600,
    );
    const path = `/v1/items/${i}?page=${i % 7}`;
    const id = `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;
    requests.push(
      Buffer.from(
        encodeRequest({
          attributes: {
            source: {
              address: { socketAddress: { address: '10.0.0.7', portValue: 40_000 + (i % 1000) } },
              principal: 'spiffe://cluster.local/ns/web/sa/frontend',
            },
            destination: { address: { socketAddress: { address: '10.0.0.9', portValue: 8080 } } },
            request: {
              time: '2026-01-02T03:04:05.678Z',
              http: {
                id: String(1_000_000 + i),
                method: 'GET',
                path,
                host: 'api.bench',
                scheme: 'https',
                protocol: 'HTTP/1.1',
                headers: {
                  ':authority': 'api.bench',
                  ':method': 'GET',
                  ':path': path,
                  ':scheme': 'https',
                  accept: 'application/json',
                  'accept-encoding': 'gzip, br',
                  authorization: `Bearer ${token}`,
                  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36',
                  'x-forwarded-for': '203.0.113.9',
                  'x-forwarded-proto': 'https',
                  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
                  'x-request-id': id,
                },
              },
            },
            metadataContext: {},
            routeMetadataContext: {},
          },
        }),
      ),
    );
  }
  return { requests, jwks: signer.jwks };
}
