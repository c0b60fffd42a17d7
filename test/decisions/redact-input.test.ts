import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildInput } from '../../src/check/input.ts';
import { redact } from '../../src/decisions/redact.ts';
import { redactInput } from '../../src/decisions/redact-input.ts';
import { regions } from '../../src/decisions/regions.ts';
import { readRequest } from '../../src/envoy/request.ts';
import type { Identity } from '../../src/model/identity.ts';
import { textOf } from '../../src/model/input-text.ts';
import type { Json } from '../../src/model/json.ts';
import { parseExact } from '../../src/values/json.ts';
import { createRandom } from '../support/random.ts';
import { randomRequest } from '../support/random-request.ts';

const callers: readonly (Identity | undefined)[] = [
  undefined,
  { authenticated: false },
  { authenticated: true, subject: 'Bearer abcdef123456', claims: { password: 'p-1', roles: ['a'], max_tokens: 7 } },
  { authenticated: true, subject: 's', claims: { note: '?access_token=s3cr3t-value', nested: { api_key: ['k'] } } },
];

for (const mode of ['masked', 'full'] as const) {
  test(`an input is redacted in its pieces as it is member by member, ${mode}`, () => {
    const random = createRandom(13);
    let inPieces = 0;
    for (let i = 0; i < 6000; i++) {
      const facts = readRequest(randomRequest(random));
      const options = { paths: 'off', skipBody: false, protoDescriptor: undefined } as const;
      const built = buildInput(facts, random.pick(callers), { client_ip: '10.0.0.1' }, options);
      if (!built.ok) continue;
      const { whole } = built.input;
      const input = parseExact(textOf(whole));
      const result: Json = random.pick<Json>([
        true,
        { allowed: false, headers: { a: random.pick(['p-1', 'k', 'x']) } },
      ]);
      const parts = { result, reasons: ['they said plain'], cause: undefined };
      const { text, input: none, ...others } = redact({ ...parts, input: undefined, text: whole }, mode);
      const { input: wantedInput, text: alsoNone, ...wanted } = redact({ ...parts, input }, mode);
      assert.equal(alsoNone, undefined);
      assert.deepEqual(plain(text === undefined ? none : parseExact(text)), plain(wantedInput), textOf(whole));
      assert.deepEqual(sorted(others), sorted(wanted), textOf(whole));
      if (facts.message.strings !== undefined && redactInput(whole, regions[mode]) !== undefined) inPieces++;
    }
    assert.ok(inPieces > 500, `${inPieces} were usual`);
  });
}

const plain = (value: Json | undefined): unknown => JSON.parse(JSON.stringify(value ?? null));
/** The order of members is not that of the document. */
const sorted = <T extends { readonly masked: readonly string[] }>({ masked, ...others }: T): object => ({
  ...others,
  masked: [...masked].sort(),
});
