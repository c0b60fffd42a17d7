import type { ServiceConfig } from '../../../config/schema.ts';
import { readLimited } from '../../../lib/read-limited.ts';
import type { Credentials } from './credentials.ts';

type BearerConfig = NonNullable<NonNullable<ServiceConfig['credentials']>['bearer']>;

const MAX_TOKEN_BYTES = 65_536;

/** A token that is given, or in a file; the file is read for every request, since others replace it. */
export function createBearer({ token, token_path: path, scheme }: BearerConfig): Credentials {
  return async () => {
    const given =
      path === undefined ? (token ?? '') : (await readLimited(path, MAX_TOKEN_BYTES)).toString('utf8').trim();
    return { authorization: `${scheme} ${given}` };
  };
}
