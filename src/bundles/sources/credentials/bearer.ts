import type { ServiceConfig } from '../../../config/schema.ts';
import { readLimited } from '../../../lib/read-limited.ts';
import type { Credentials } from './credentials.ts';

type BearerConfig = NonNullable<NonNullable<ServiceConfig['credentials']>['bearer']>;

const MAX_TOKEN_BYTES = 65_536;

/** A token that is given, or in a file; the file is read for every request, since others replace it. */
export const createBearer =
  (config: BearerConfig): Credentials =>
  async () => ({ authorization: `${config.scheme} ${(await readBearer(config)) ?? ''}` });

/** Undefined where there is none. */
export const readBearer = async ({ token, token_path: path }: BearerConfig): Promise<string | undefined> =>
  path === undefined ? token : (await readLimited(path, MAX_TOKEN_BYTES)).toString('utf8').trim();
