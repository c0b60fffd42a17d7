import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sectionsToStart } from '../../src/compose/discovered.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';

function configOf(tree: object): Config {
  const loaded = loadConfig({
    ...{ text: JSON.stringify(tree), env: {}, set: [], setFile: [] },
    ...{ readText: () => '', isReadable: () => true },
  });
  if (!loaded.ok) throw new Error(loaded.problems.join());
  return loaded.config;
}

test('a service that status or decisions are sent to changes with a start only', () => {
  const services = { ci: { url: 'http://ci' }, logs: { url: 'http://logs' } };
  const before = configOf({ services, decision_logs: { service: 'logs' }, status: { service: 'ci' } });
  const after = (change: object, over: object = {}): readonly string[] =>
    sectionsToStart(
      before,
      configOf({
        services: { ...services, ...change },
        decision_logs: { service: 'logs' },
        status: { service: 'ci' },
        ...over,
      }),
    );
  assert.deepEqual(after({ more: { url: 'http://more' } }), []);
  assert.deepEqual(after({ ci: { url: 'http://other' } }), ['status']);
  assert.deepEqual(after({ logs: { url: 'http://other' } }), ['decision_logs']);
  assert.deepEqual(after({}, { decision_logs: { service: 'ci' } }), ['decision_logs']);
});
