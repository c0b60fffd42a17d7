import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sdkEnv } from '../../src/compose/store/sdk-env.ts';

test('the process that archives gets what finds the keys of AWS, and no other secret', () => {
  const needed = { AWS_PROFILE: 'p', AWS_WEB_IDENTITY_TOKEN_FILE: '/f', HOME: '/h', NODE_EXTRA_CA_CERTS: '/ca' };
  assert.deepEqual(sdkEnv({ ...needed, BUNDLE_TOKEN: 's3cr3t', NODE_OPTIONS: '--inspect', MY_AWS_KEY: 'x' }), needed);
});
