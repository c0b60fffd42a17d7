import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MockAgent } from 'undici';
import { readChallenge } from '../../src/bundles/oci/challenge.ts';
import { createRegistry } from '../../src/bundles/oci/registry.ts';

const never = new AbortController().signal;
const ask = { method: 'GET', path: 'r/blobs/x', repository: 'r', accept: '*/*', maxBytes: 100 } as const;

type Sent = readonly [url: string, authorization: string | undefined];
type Reply = {
  readonly status: number;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string;
};

/** A registry, where no address is a real one; `answer` says what they answer. */
function setUp(
  url: string,
  answer: (sent: Sent) => Reply,
  own: { readonly authorization?: string } = { authorization: 'Basic secret' },
) {
  const agent = new MockAgent();
  agent.disableNetConnect();
  const sent: Sent[] = [];
  const peers: string[] = [];
  const origins = [
    url,
    'https://auth.example.com',
    'http://auth.example.com',
    'http://127.0.0.1:9',
    'http://cdn.example.com',
  ];
  for (const origin of origins) {
    agent
      .get(origin)
      .intercept({ path: () => true, method: 'GET' })
      .reply((options) => {
        const headers = options.headers as { readonly authorization?: string };
        const each: Sent = [`${origin}${options.path}`, headers.authorization];
        sent.push(each);
        const { status, headers: more = {}, body = '' } = answer(each);
        return { statusCode: status, data: body, responseOptions: { headers: more } };
      })
      .persist();
  }
  const registry = createRegistry({
    url,
    credentials: async () => ({ ...own }),
    headers: {},
    headersMs: 1000,
    dispatcherFor: async (target, peer) => {
      peers.push(`${peer} ${target.origin}`);
      return agent;
    },
  });
  return { look: () => registry(ask, never), sent, peers };
}

const tokensAt =
  (realm: string) =>
  ([url, authorization]: Sent): Reply => {
    if (url.startsWith(realm)) return { status: 200, body: '{"token":"t"}' };
    if (authorization === 'Bearer t') return { status: 200, body: 'blob' };
    return { status: 401, headers: { 'www-authenticate': `Bearer realm="${realm}/token",service="s"` } };
  };

describe('credentials of a registry', () => {
  test('go to the place of tokens that it names, and the token back to it', async () => {
    const { look, sent, peers } = setUp('https://registry.example.com', tokensAt('https://auth.example.com'));
    assert.equal((await look()).body.toString(), 'blob');
    assert.deepEqual(sent, [
      ['https://registry.example.com/v2/r/blobs/x', 'Basic secret'],
      ['https://auth.example.com/token?service=s&scope=repository%3Ar%3Apull', 'Basic secret'],
      ['https://registry.example.com/v2/r/blobs/x', 'Bearer t'],
    ]);
    assert.deepEqual(peers, [
      'service https://registry.example.com',
      'authority https://auth.example.com',
      'service https://registry.example.com',
    ]);
  });

  const unsafe: readonly (readonly [name: string, registry: string, realm: string])[] = [
    ['without encryption', 'https://registry.example.com', 'http://auth.example.com'],
    ['on this machine', 'https://registry.example.com', 'http://127.0.0.1:9'],
    ['named over a connection that anybody may change', 'http://registry.example.com', 'https://auth.example.com'],
  ];
  for (const [name, registry, realm] of unsafe) {
    test(`do not go to a place ${name}; without any it is asked`, async () => {
      const { look, sent } = setUp(registry, tokensAt(realm));
      await assert.rejects(look(), /to which credentials could not be sent safely/);
      assert.ok(!sent.some(([url]) => url.startsWith(realm)));
      assert.equal((await setUp(registry, tokensAt(realm), {}).look()).status, 200);
    });
  }

  test('do not follow a redirect, which must not leave https', async () => {
    const to =
      (location: string) =>
      ([url]: Sent): Reply =>
        url.startsWith('https://registry') ? { status: 307, headers: { location } } : { status: 200, body: 'blob' };
    const safe = setUp('https://registry.example.com', to('https://auth.example.com/blob'));
    assert.equal((await safe.look()).body.toString(), 'blob');
    assert.deepEqual(safe.sent[1], ['https://auth.example.com/blob', undefined]);
    assert.equal(safe.peers[1], 'stranger https://auth.example.com');
    const back = setUp('https://registry.example.com', ([url]): Reply => {
      if (url.endsWith('/back')) return { status: 200 };
      const isHome = url.startsWith('https://registry');
      const location = isHome ? 'https://auth.example.com/blob' : 'https://registry.example.com/back';
      return { status: 307, headers: { location } };
    });
    await back.look();
    assert.deepEqual(back.sent[2], ['https://registry.example.com/back', undefined]);
    const { look } = setUp('https://registry.example.com', to('http://cdn.example.com/blob'));
    await assert.rejects(look(), /redirects to where it is not safe to go/);
  });

  test('lead to a token that can be sent, or to none', async () => {
    for (const body of ['{"token":"a\\nb"}', '{"token":1}', '[]', 'secret<html>', '{"token":""}']) {
      const { look } = setUp('https://registry.example.com', (each) => {
        const reply = tokensAt('https://auth.example.com')(each);
        return each[0].startsWith('https://auth') ? { ...reply, body } : reply;
      });
      await assert.rejects(look(), { name: 'BundleError', message: 'auth.example.com answered without a token' });
    }
  });
});

test('a challenge is read with commas in quotes, in any case, and beside others', () => {
  const read = (header: string | readonly string[] | undefined): unknown => {
    const challenge = readChallenge(header);
    return challenge && [challenge.realm.href, challenge.service, challenge.scope];
  };
  assert.deepEqual(read('Bearer realm="https://a.example/t",service="s",scope="repository:r:pull,push"'), [
    'https://a.example/t',
    's',
    'repository:r:pull,push',
  ]);
  assert.deepEqual(read(['Basic realm="x"', 'bearer Realm=https://a.example/t']), [
    'https://a.example/t',
    undefined,
    undefined,
  ]);
  for (const header of [
    undefined,
    'Basic realm="https://a.example"',
    'Bearer',
    'Bearer realm="/token"',
    'NotBearer realm="https://a"',
  ]) {
    assert.equal(read(header), undefined, String(header));
  }
});
