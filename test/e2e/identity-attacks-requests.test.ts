import { after, before, describe, test } from 'node:test';
import { type Attacked, bearer, claims, goodToken, header, now, pairs, startAttacked } from '../support/attacked.ts';
import { forge } from '../support/forge.ts';
import { encodeRequest, httpRequest } from '../support/grpc.ts';
import { createScope } from '../support/scope.ts';

/* Good tokens, and bad ones, where they may be, where they may not, and in more than one place. */

const suite = createScope();
after(suite.close);
let attacked: Attacked;
let proxied: Attacked;
before(async () => {
  [attacked, proxied] = await Promise.all([
    startAttacked(suite),
    startAttacked(suite, {
      token: { header: 'X-Jwt', scheme: 'none' },
      workload: { trust_domains: ['cluster.local'], xfcc: true },
    }),
  ]);
});

const good = goodToken();
const other = forge(header(), claims({ sub: 'eve' }), pairs.rsa, 'RS256');
const expired = forge(header(), claims({ exp: now() - 3600 }), pairs.rsa, 'RS256');
const front = 'spiffe://cluster.local/ns/web/sa/front';

type Attack = readonly [name: string, request: Uint8Array, http: number];
type Pairs = readonly (readonly [name: string, value: string | Buffer])[];

const from = (headers: { readonly [name: string]: string }, path = '/x'): Uint8Array => httpRequest({ headers, path });
const auth = (value: string): Uint8Array => from({ authorization: value });
const cookie = (value: string): Uint8Array => from({ cookie: value });
const query = (text: string): Uint8Array => from({}, `/x?${text}`);
/** Headers as Envoy sends them with `encode_raw_headers`. */
const listed = (headers: Pairs, more: object = {}): Uint8Array =>
  encodeRequest({
    attributes: {
      request: {
        http: {
          method: 'GET',
          path: '/x',
          host: 'api.test',
          headerMap: {
            headers: headers.map(([key, value]) => ({ key, rawValue: Buffer.from(value).toString('base64') })),
          },
          ...more,
        },
      },
    },
  });
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

async function all(attacks: readonly Attack[]): Promise<void> {
  for (const [name, request, http] of attacks) await attacked.refused(name, request, http);
}

describe('tokens are accepted', () => {
  const accepted: readonly (readonly [string, Uint8Array])[] = [
    ['in a header of any case', from({ AUTHORIZATION: `Bearer ${good}` })],
    ['behind the scheme in any case', auth(`bEARER ${good}`)],
    ['behind several blanks, and before some', auth(`Bearer   ${good}  `)],
    ['in a list of raw headers', listed([['Authorization', `Bearer ${good}`]])],
    ['in a cookie', cookie(`a=1; session=${good}`)],
    ['in a cookie in quotes', cookie(`session="${good}"; b="x`)],
    ['in the query', query(`a=1&access_token=${good}&b`)],
    ['in the query, escaped', query(`%61ccess_token=${good.replaceAll('.', '%2E')}`)],
    [
      'everywhere, the same',
      from({ authorization: `Bearer ${good}`, cookie: `session=${good}` }, `/x?access_token=${good}`),
    ],
    [
      'beside a cookie and a parameter of another case',
      from({ authorization: `Bearer ${good}`, cookie: `Session=${other}` }, `/x?Access_token=${other}`),
    ],
  ];
  for (const [name, request] of accepted) test(name, () => attacked.allowed(name, request));
});

describe('requests are refused', () => {
  test('whose Authorization is odd', () =>
    all([
      ['nothing', from({}), 401],
      ['an empty value', auth(''), 401],
      ['the scheme only', auth('Bearer'), 401],
      ['the scheme and a blank', auth('Bearer '), 401],
      ['no scheme', auth(good), 401],
      ['a tab', auth(`Bearer\t${good}`), 401],
      ['a blank and a tab', auth(`Bearer \t${good}`), 401],
      ['a tab behind', auth(`Bearer ${good}\t`), 401],
      ['no blank', auth(`Bearer${good}`), 401],
      ['a colon', auth(`Bearer: ${good}`), 401],
      ['an equals sign', auth(`Bearer=${good}`), 401],
      ['a parameter', auth(`Bearer token=${good}`), 401],
      ['quotes', auth(`Bearer "${good}"`), 401],
      ['angle brackets', auth(`Bearer <${good}>`), 401],
      ['twice the scheme', auth(`Bearer Bearer ${good}`), 401],
      ['something behind', auth(`Bearer ${good} x`), 401],
      ['two tokens', auth(`Bearer ${good} ${good}`), 401],
      ['another scheme', auth(`Token ${good}`), 401],
      ['Basic', auth(`Basic ${Buffer.from(`ann:${good}`).toString('base64')}`), 401],
      ['DPoP', auth(`DPoP ${good}`), 401],
      ['a scheme with a look-alike', auth(`Веarer ${good}`), 401],
      ['a scheme with a long s', auth(`Bearer\u017f ${good}`), 401],
      ['a no-break space', auth(`Bearer\u00a0${good}`), 401],
      ['a no-break space behind a blank', auth(`Bearer \u00a0${good}`), 401],
      ['a no-break space behind', auth(`Bearer ${good}\u00a0`), 401],
      ['an ideographic space', auth(`Bearer\u3000${good}`), 401],
      ['a zero-width space', auth(`Bearer \u200b${good}`), 401],
      ['a byte order mark', auth(`\ufeffBearer ${good}`), 401],
      ['a byte order mark before the token', auth(`Bearer \ufeff${good}`), 401],
      ['a line separator', auth(`Bearer \u2028${good}`), 401],
      ['a line feed', auth(`Bearer ${good}\n`), 401],
      ['a folded line', auth(`Bearer\r\n ${good}`), 401],
      ['a NUL behind', auth(`Bearer ${good}\u0000`), 401],
      ['a comma behind', auth(`Bearer ${good},`), 400],
      ['a comma before', auth(`,Bearer ${good}`), 400],
      ['a comma and another scheme', auth(`Bearer ${good}, Basic YTpi`), 400],
      ['another scheme and a comma', auth(`Basic YTpi,Bearer ${good}`), 400],
      ['two values joined', auth(`Bearer ${good},Bearer ${good}`), 400],
      ['two values joined, the first bad', auth(`Bearer x.y.z, Bearer ${good}`), 400],
      ['a semicolon', auth(`Bearer ${good};Bearer ${good}`), 401],
      ['percent escapes', auth(`Bearer ${good.replaceAll('.', '%2e')}`), 401],
      ['64 KB', auth(`Bearer ${'x'.repeat(65_536)}`), 401],
      ['64 KB of blanks', auth(`Bearer${' '.repeat(65_536)}${good}x`), 401],
      ['a megabyte of dots', auth(`Bearer ${'.'.repeat(1_048_576)}`), 401],
      ['a megabyte of commas', auth(`Digest ${','.repeat(1_048_576)}`), 401],
    ]));

  test('whose headers come in several spellings, or twice', () =>
    all([
      ['two spellings', from({ authorization: `Bearer ${good}`, Authorization: `Bearer ${good}` }), 400],
      ['two spellings, one empty', from({ authorization: '', AUTHORIZATION: `Bearer ${good}` }), 400],
      [
        'twice in the list',
        listed([
          ['authorization', `Bearer ${good}`],
          ['authorization', `Bearer ${good}`],
        ]),
        400,
      ],
      [
        'twice in the list, one bad',
        listed([
          ['authorization', 'Bearer x'],
          ['Authorization', `Bearer ${good}`],
        ]),
        400,
      ],
      [
        'in the map and in the list',
        listed([['authorization', `Bearer ${good}`]], { headers: { authorization: `Bearer ${good}` } }),
        400,
      ],
      [
        'in the map and in the list, different',
        listed([['authorization', `Bearer ${good}`]], { headers: { Authorization: 'Basic YTpi' } }),
        400,
      ],
      ['a blank in the name', from({ 'authorization ': `Bearer ${good}` }), 401],
      ['an underscore in the name', from({ authorization_: `Bearer ${good}` }), 401],
      ['another name', from({ 'proxy-authorization': `Bearer ${good}`, 'x-authorization': `Bearer ${good}` }), 401],
      ['a look-alike in the name', from({ аuthorization: `Bearer ${good}` }), 401],
      ['names of the prototype', from({ constructor: `Bearer ${good}`, ['__proto__']: `Bearer ${good}` }), 401],
      ['obs-text behind', listed([['authorization', latin1(`Bearer ${good}\u00ff`)]]), 401],
      ['obs-text before', listed([['authorization', latin1(`\u0080Bearer ${good}`)]]), 401],
      ['a no-break space as obs-text', listed([['authorization', latin1(`Bearer \u00a0${good}`)]]), 401],
      ['a next-line as obs-text', listed([['authorization', latin1(`Bearer ${good}\u0085`)]]), 401],
      ['a NUL in a raw value', listed([['authorization', latin1(`Bearer ${good}\u0000`)]]), 401],
      ['invalid UTF-8 in the map', broken(auth(`Bearer ${good}@@@@`)), 400],
      ['invalid UTF-8 in another header', broken(from({ authorization: `Bearer ${good}`, x: '@@@@' })), 400],
    ]));

  test('whose cookies or parameters are odd', () =>
    all([
      ['two cookies', cookie(`session=${good}; session=${other}`), 400],
      ['two cookies, one empty', cookie(`session=${good}; session=`), 400],
      ['two cookies, blanks about the name', cookie(`session=${good}; session =${other}`), 400],
      [
        'two headers',
        listed([
          ['cookie', `session=${good}`],
          ['Cookie', `session=${other}`],
        ]),
        400,
      ],
      ['joined by a comma', cookie(`session=${good},session=${good}`), 400],
      ['a comma in the value', cookie(`session=${good},x`), 400],
      ['another cookie with ours behind a comma', cookie(`a=1,session=${good}`), 400],
      ['a quote before', cookie(`session="${good}`), 401],
      ['a quote behind', cookie(`session=${good}"`), 401],
      ['two pairs of quotes', cookie(`session=""${good}""`), 401],
      ['quotes and more', cookie(`session="${good}"x`), 401],
      ['single quotes', cookie(`session='${good}'`), 401],
      ['escaped quotes', cookie(`session="\\"${good}\\""`), 401],
      ['a percent escape', cookie(`session=${good.replaceAll('.', '%2e')}`), 401],
      ['the scheme', cookie(`session=Bearer ${good}`), 401],
      ['a name of other case', cookie(`Session=${good}`), 401],
      ['a prefix to the name', cookie(`__Host-session=${good}; $session=${good}; xsession=${good}`), 401],
      ['a no-break space about the value', cookie(`session=\u00a0${good}`), 401],
      ['a no-break space about the name', cookie(`\u00a0session=${good}`), 400],
      ['an equals sign more', cookie(`session==${good}`), 401],
      ['no equals sign', cookie(`session${good}`), 401],
      ['an expired one', cookie(`session=${expired}`), 401],
      ['64 KB', cookie(`session=${'x'.repeat(65_536)}`), 401],
      ['10,000 cookies', cookie(`${'a=1; '.repeat(10_000)}session=${expired}`), 401],
      ['two parameters', query(`access_token=${good}&access_token=${other}`), 400],
      ['two parameters, one escaped', query(`access_token=${good}&%61ccess_token=${other}`), 400],
      ['a semicolon behind', query(`access_token=${good};b=1`), 400],
      ['behind a semicolon', query(`a=1;access_token=${good}`), 400],
      ['a bad escape', query(`access_token=${good}%zz`), 400],
      ['bytes that are no UTF-8', query(`access_token=${good}%ff`), 400],
      ['a NUL', query(`access_token=${good}%00`), 401],
      ['a plus sign before', query(`access_token=+${good}`), 401],
      ['a blank behind', query(`access_token=${good}%20`), 401],
      ['a line feed behind', query(`access_token=${good}%0a`), 401],
      ['escaped twice', query(`access_token=${good.replaceAll('.', '%252e')}`), 401],
      ['the name of a list', query(`access_token[]=${good}`), 401],
      ['the name of a member', query(`access_token[x]=${good}&access_token.x=${good}`), 401],
      ['other case', query(`Access_Token=${good}`), 401],
      ['no value', query('access_token'), 401],
      ['behind a fragment', query(`a=1#?access_token=${good}`), 400],
      ['in the path', from({}, `/access_token=${good}`), 401],
      ['header and cookie', from({ authorization: `Bearer ${good}`, cookie: `session=${other}` }), 400],
      ['header and query', from({ authorization: `Bearer ${good}` }, `/x?access_token=${expired}`), 400],
      ['a bad header and a good cookie', from({ authorization: 'Bearer x', cookie: `session=${good}` }), 400],
      ['an empty bearer and a good cookie', from({ authorization: 'Bearer', cookie: `session=${good}` }), 400],
      [
        'three',
        from({ authorization: `Bearer ${good}`, cookie: `session=${other}` }, `/x?access_token=${expired}`),
        400,
      ],
      ['a bad token where none is needed', from({ authorization: 'Bearer x.y.z' }, '/workload/a'), 401],
      ['an expired cookie where no token is needed', from({ cookie: `session=${expired}` }, '/workload/a'), 401],
      [
        'a bearer with a tab where no token is needed',
        from({ authorization: `Bearer\t${expired}` }, '/workload/a'),
        401,
      ],
      [
        'a bearer with a no-break space where no token is needed',
        from({ authorization: `Bearer\u00a0${expired}` }, '/workload/a'),
        401,
      ],
      [
        'a bearer with a colon where no token is needed',
        from({ authorization: `bearer:${expired}` }, '/workload/a'),
        401,
      ],
    ]));

  test('whose token is the whole value of another header, and is odd there', async () => {
    await proxied.allowed('X-Jwt', from({ 'x-jwt': good }));
    for (const [name, headers, http] of [
      ['in authorization', { authorization: `Bearer ${good}` }, 401],
      ['the scheme', { 'x-jwt': `Bearer ${good}` }, 401],
      ['two', { 'x-jwt': `${good},${good}` }, 400],
      ['two spellings', { 'x-jwt': good, 'X-JWT': other }, 400],
      ['a no-break space', { 'x-jwt': `\u00a0${good}` }, 401],
      ['a line feed', { 'x-jwt': `${good}\n` }, 401],
      ['empty', { 'x-jwt': '' }, 401],
    ] as const) {
      const answer = await proxied.ask(from(headers));
      if (answer.http !== http || answer.grpc === 0) throw new Error(`${name}: ${answer.http}`);
    }
  });
});

describe('workloads are nobody', () => {
  const principals: readonly string[] = [
    '',
    ...[front.toUpperCase(), front.replace('spiffe', 'SPIFFE'), front.replace('cluster', 'Cluster'), `${front}/`],
    ...[` ${front}`, `${front} `, `${front}\u0000`, `${front}\n`, `"${front}"`, `${front},${front}`, `${front};x`],
    ...[front.replace('front', 'fr%6fnt'), front.replace('/ns', '%2fns'), front.replace('/ns', '//ns')],
    ...[front.replace('/ns', '/./ns'), front.replace('web', '../web'), front.replace('web', 'x/../web')],
    ...[front.replace('local', 'local:443'), front.replace('//', '//user@'), front.replace('local', 'local.')],
    ...[`${front}?a=1`, `${front}#a`, front.replace('spiffe:', 'https:'), front.replace('//', '/'), front.slice(9)],
    ...[
      front.replace('cluster.local', 'сluster.local'),
      front.replace('front', 'frоnt'),
      front.replace('front', 'front\u200b'),
    ],
    ...[front.replace('cluster.local', 'xn--luster-3kg.local'), front.replace('cluster.local', 'evil.test')],
    ...[
      front.replace('cluster.local', 'cluster.local.evil.test'),
      front.replace('cluster.local', 'evil.cluster.local'),
    ],
    ...[
      front.replace('/ns', '\\ns'),
      `spiffe://cluster.local/${'a'.repeat(4000)}`,
      'spiffe://cluster.local',
      'spiffe:///ns/web',
    ],
    ...['CN=front', 'front.web.svc', '*', 'spiffe://*/ns/web/sa/front', `URI:${front}`, `URI=${front}`],
    'x'.repeat(65_536),
  ];
  const withPrincipal = (principal: string): Uint8Array =>
    encodeRequest({
      attributes: {
        source: { principal },
        request: { http: { method: 'GET', path: '/workload/a', host: 'api.test' } },
      },
    });
  /** The policy's own no, without a body. */
  const denied = async (on: Attacked, name: string, request: Uint8Array): Promise<void> => {
    const { grpc, http } = await on.ask(request);
    if (grpc !== 7 || http !== undefined) throw new Error(`${name}: ${grpc} ${http}`);
  };

  test('by a principal that is not exactly the SPIFFE ID of one', async () => {
    await attacked.allowed(front, withPrincipal(front));
    for (const principal of principals) await denied(attacked, principal, withPrincipal(principal));
    await attacked.allowed(front, withPrincipal(front));
  });

  test('by a header about certificates, unless it counts', async () => {
    const request = (value: string): Uint8Array => from({ 'x-forwarded-client-cert': value }, '/workload/a');
    await denied(attacked, 'xfcc', request(`URI=${front}`));
    await denied(proxied, 'principal', withPrincipal(front));
    await proxied.allowed('xfcc', request(`Hash=ab;URI=${front}`));
  });

  test('by a header about certificates that is odd', async () => {
    const values: readonly string[] = [
      ...principals.filter((value) => !/^"| $/.test(value)).map((value) => `URI=${value}`),
      ...[
        `URI=${front};URI=${front}`,
        `URI=${front};URI=`,
        `URI=;URI=${front}`,
        `URI=${front},By=x`,
        `URI=${front},URI=x`,
      ],
      ...[
        `URI=${front},`,
        `,URI=${front}`,
        `URI=${front};`,
        `;URI=${front}`,
        `URI = ${front}`,
        `URI:${front}`,
        `URI="${front}`,
      ],
      ...[
        `DNS="URI=${front}"`,
        `Subject="x;URI=${front}"`,
        `Subject="\\";URI=${front}`,
        `By=${front}`,
        `X-URI=${front}`,
      ],
      ...[
        `Hash=a;Hash=b;URI=${front}`,
        `URI=${front};Unknown=1`,
        `Cert="%22;URI=${front}"`,
        `${'URI=x,'.repeat(20)}URI=${front}`,
      ],
      ...[`URI=${front}\u00e9`, `URI="${front}\\"`, `{"URI":"${front}"}`, `[URI=${front}]`],
    ];
    for (const value of values) {
      await denied(proxied, value, from({ 'x-forwarded-client-cert': value }, '/workload/a'));
    }
    const good = `URI=${front}`;
    const name = 'x-forwarded-client-cert';
    await denied(
      proxied,
      'two headers',
      listed(
        [
          [name, good],
          [name, good],
        ],
        { path: '/workload/a' },
      ),
    );
    await denied(proxied, 'obs-text', listed([[name, latin1(`${good}\u00ff`)]], { path: '/workload/a' }));
    await proxied.allowed('one header', listed([[name.toUpperCase(), good]], { path: '/workload/a' }));
  });
});

test('the service that all of this was sent to is well', () => attacked.allowed('the last one', bearer(good)));

/** The same bytes, with something in the place of @@@@ that is no UTF-8. */
function broken(request: Uint8Array): Uint8Array {
  const bytes = Buffer.from(request);
  bytes.write('\xff\xfe\xc0\xaf', bytes.indexOf('@@@@'), 'latin1');
  return bytes;
}
