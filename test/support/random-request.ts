import { encodeRequest } from './grpc.ts';
import type { Random } from './random.ts';

const texts = [
  ...[
    '',
    'plain',
    'with space',
    'é ü 漢字 \u2028',
    'tab\there',
    'quote " inside',
    'back\\slash',
    '\u007f',
    'a'.repeat(300),
  ],
  ...['Bearer abcdef123456', 'BASIC+dXNlcjpwYXNz', 'tokens', 'they know', 'EYA.b.c', 'https://u:pass123@host/x'],
  ...[
    'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln',
    '/a/b?c=d',
    '/a?access_token=s3cr3t-value&b=c',
    '/a%3Ftoken%3Ds3cr3t',
  ],
  ...['{"password":"s3cr3t"}', 'x=1;sid=abcdef', '😀', '/v1/items/42', 'a~b/c'],
];
const names = [
  ...['authorization', 'cookie', ':path', ':method', 'accept', 'x-api-key', 'X-Mixed', 'a/b', 'a~b', '__proto__', '7'],
  ...['x-request-id', 'traceparent', 'max_tokens', 'constructor', 'é', 'q"uote', '', 'value', 'key', 'token=abcdefgh'],
];

/** CheckRequest bytes: mostly as Envoy writes them, with strings and names of every sort. */
export function randomRequest(random: Random): Buffer {
  const { below, pick } = random;
  const maybe = (part: object): object => (below(3) === 0 ? {} : part);
  const text = (): string => pick(texts);
  const map = (): object => Object.fromEntries(Array.from({ length: below(8) }, () => [pick(names), text()]));
  const address = (): object =>
    pick([
      { socketAddress: { address: text(), portValue: below(70_000) } },
      { socketAddress: { address: text(), namedPort: text(), protocol: 'UDP', ipv4Compat: below(2) === 0 } },
      { pipe: { path: text(), mode: below(1000) } },
      {},
    ]);
  const peer = (): object => ({ address: address(), ...maybe({ principal: text() }), ...maybe({ labels: map() }) });
  const size = pick(['0', '-1', '17', '4294967296', '9007199254740993', '-9223372036854775808']);
  const http = {
    ...maybe({ id: text(), method: pick(['GET', 'POST', '']), host: text(), scheme: 'https' }),
    ...maybe({ headers: map() }),
    ...maybe({ path: text(), fragment: text(), query: text() }),
    ...maybe({ size, protocol: 'HTTP/1.1' }),
    ...maybe({ body: text() }),
    ...(below(12) === 0 ? { rawBody: btoa('raw') } : {}),
    ...(below(12) === 0 ? { headerMap: { headers: [{ key: 'a', value: text() }] } } : {}),
  };
  return Buffer.from(
    encodeRequest({
      attributes: {
        ...maybe({ source: peer() }),
        ...maybe({ destination: peer() }),
        ...maybe({ request: { ...maybe({ time: '2026-01-02T03:04:05.678Z' }), ...maybe({ http }) } }),
        ...maybe({ contextExtensions: map() }),
        ...maybe({ metadataContext: {}, tlsSession: { sni: text() } }),
        ...(below(12) === 0 ? { metadataContext: { filterMetadata: { a: { b: [1, null, text()] } } } } : {}),
      },
    }),
  );
}
