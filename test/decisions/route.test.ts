import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRoutes, OTHER_ROUTE, templateOf } from '../../src/decisions/route.ts';
import { systemClock } from '../../src/lib/clock.ts';

const same: readonly string[] = [
  '/',
  '/v1/data',
  '/v1/items',
  '/api/v2beta1/namespaces/default/pods',
  '/.well-known/openid-configuration',
  '/oauth2/callback',
  '/getUserAccountDetails/byOrganization',
  '/items:batchGet',
  '/static/app.min.js',
  '/feedface',
];
for (const path of same) test(`${path} is a route as it is`, () => assert.equal(templateOf(path), path));

const templates: readonly (readonly [path: string, template: string])[] = [
  ['/v1/items/42', '/v1/items/{id}'],
  ['/v1/items/42/parts/7?x=/a/b#c', '/v1/items/{id}/parts/{id}'],
  ['/users/018F5B2E-7A1C-7C3D-9E4F-0123456789AB', '/users/{id}'],
  ['/blobs/d41d8cd98f00b204', '/blobs/{id}'],
  ['/orders/ord_8f3k2j1x', '/orders/{id}'],
  ['/orders/ord-000123', '/orders/{id}'],
  ['/days/2024-05-06', '/days/{id}'],
  ['/k/aGVsbG8gd29ybGQ', '/k/{id}'],
  ['/k/xQzPvLwKjRtYbNmC', '/k/{id}'],
  ['/people/ann@example.org', '/people/{id}'],
  ['/files/a%20b', '/files/{id}'],
  ['/n/-7', '/n/{id}'],
  [`/long/${'word-'.repeat(20)}`, '/long/{id}'],
  ['//v1///items//', '/v1/items'],
  ['', '/'],
  ['*', '/{id}'],
  ['/ü/ö', '/{id}/{id}'],
  [`/${'a/'.repeat(50)}`, `${'/a'.repeat(12)}/{rest}`],
];
for (const [path, template] of templates) {
  test(`${path.slice(0, 40)} has the route ${template.slice(0, 40)}`, () => assert.equal(templateOf(path), template));
}

const words = (n: number): string =>
  [...n.toString(26)].map((digit) => String.fromCharCode(97 + Number.parseInt(digit, 26))).join('');

test('there are no more routes than the bound says', () => {
  const { routeOf } = createRoutes({ clock: systemClock, max: 100 });
  const seen = new Set<string>();
  for (let i = 0; i < 10_000; i++) seen.add(routeOf(`/${words(i)}`, true));
  assert.equal(seen.size, 101);
  assert.ok(seen.has(OTHER_ROUTE));
});

test('paths that were turned away do not crowd out those that are served', () => {
  const { routeOf } = createRoutes({ clock: systemClock, max: 100 });
  for (let i = 0; i < 10_000; i++) routeOf(`/${words(i)}`, false);
  assert.equal(routeOf('/served', false), OTHER_ROUTE);
  assert.equal(routeOf('/served', true), '/served');
  assert.equal(routeOf('/served', false), '/served');
});

test('after an hour routes are learned anew', () => {
  let now = 0;
  const { routeOf } = createRoutes({ clock: { wallMs: () => 0, monotonicMs: () => now }, max: 2 });
  for (const path of ['/a', '/b']) routeOf(path, true);
  assert.equal(routeOf('/c', true), OTHER_ROUTE);
  now = 3_600_001;
  assert.equal(routeOf('/c', true), '/c');
});

test('a path of any length costs little', () => {
  const began = performance.now();
  for (let i = 0; i < 100; i++) templateOf(`/${'aA1-'.repeat(250_000)}`);
  assert.ok(performance.now() - began < 5000);
});
