import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readPublicKey, type SignatureAlgorithm, signatureAlgorithms } from '../../src/lib/public-key.ts';
import { scratchFolder } from '../support/servers.ts';
import { keyPairFor, privatePem, publicPem } from '../support/signing.ts';

describe('a public key', () => {
  for (const algorithm of signatureAlgorithms) {
    test(`for ${algorithm} is read`, () => {
      const pair = keyPairFor(algorithm);
      assert.ok(readPublicKey(`\n${publicPem(pair)}\n`, algorithm).equals(pair.publicKey));
    });
  }

  test('may be in a certificate, or in the form of PKCS #1', (context) => {
    const folder = scratchFolder(context);
    const pair = keyPairFor('RS256');
    writeFileSync(join(folder, 'key.pem'), privatePem(pair));
    const options = ['-x509', '-new', '-key', 'key.pem', '-subj', '/CN=ci', '-days', '1', '-out', 'cert.pem'];
    execFileSync('openssl', ['req', ...options], { cwd: folder, stdio: 'pipe' });
    const pkcs1 = String(pair.publicKey.export({ type: 'pkcs1', format: 'pem' }));
    for (const pem of [readFileSync(join(folder, 'cert.pem'), 'utf8'), pkcs1]) {
      assert.ok(readPublicKey(pem, 'PS256').equals(pair.publicKey));
    }
  });

  const { publicKey: short } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const refused: readonly (readonly [name: string, pem: string, algorithm: SignatureAlgorithm, message: RegExp])[] = [
    [
      'that is a private key',
      privatePem(keyPairFor('ES256')),
      'ES256',
      /: a private key, where the public one is due$/,
    ],
    ['of another type', publicPem(keyPairFor('ES256')), 'RS256', /type ec, and RS256 needs rsa/],
    ['of RSA for EdDSA', publicPem(keyPairFor('RS256')), 'EdDSA', /type rsa, and EdDSA needs ed25519/],
    ['on another curve', publicPem(keyPairFor('ES256')), 'ES384', /curve prime256v1, and ES384 needs secp384r1/],
    ['that is too short', String(short.export({ type: 'spki', format: 'pem' })), 'RS256', /less than 2048 bits/],
    ['that is text', 'secret', 'RS256', /: no key in PEM$/],
    ['that is cut', publicPem(keyPairFor('RS256')).slice(0, -40), 'RS256', /no key in PEM/],
    [
      'that is damaged',
      publicPem(keyPairFor('RS256')).replace('MII', 'MIX'),
      'RS256',
      /a public key that cannot be read/,
    ],
    ['of another kind', '-----BEGIN PGP KEY-----\nAAAA\n-----END PGP KEY-----', 'RS256', /neither a public key/],
    [
      'in a certificate that is none',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
      'RS256',
      /a certificate that cannot be read/,
    ],
  ];
  for (const [name, pem, algorithm, message] of refused) {
    test(`${name} is refused`, () => assert.throws(() => readPublicKey(pem, algorithm), message));
  }
});
