import { request } from 'undici';
import type { ServiceConfig } from '../../../config/schema.ts';
import { readBounded } from '../../../lib/bounded-body.ts';
import { BundleError } from '../../error.ts';
import type { Credentials } from '../../oci/registry.ts';
import { createAwsKeys, type Env } from './aws-keys.ts';
import { readBearer } from './bearer.ts';
import { signAws } from './s3-signing.ts';

type Headers = Readonly<Record<string, string>>;

const MAX_ANSWER_BYTES = 65_536;
const ECR_MS = 10_000;
const MARGIN_MS = 300_000;

/**
 * Credentials of an OCI registry, as OPA has them: `bearer` is `USER:PASSWORD` or a token as it stands, and sent in
 * base64; with `s3_signing` ECR is asked for a token. Where there is neither, `others` count.
 */
export function createOciCredentials({ credentials }: ServiceConfig, env: Env, others: Credentials): Credentials {
  if (credentials?.s3_signing !== undefined) return createEcrCredentials(credentials.s3_signing, env);
  const bearer = credentials?.bearer;
  if (bearer === undefined) return others;
  return async (): Promise<Headers> => {
    const token = await readBearer(bearer);
    if (token === undefined) return {};
    return { authorization: `${bearer.scheme} ${Buffer.from(token).toString('base64')}` };
  };
}

type Signing = NonNullable<NonNullable<ServiceConfig['credentials']>['s3_signing']>;

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html */
function createEcrCredentials(signing: Signing, env: Env): () => Promise<Headers> {
  const keys = createAwsKeys(signing, env);
  let last: { readonly token: string; readonly endsMs: number } | undefined;
  return async () => {
    if (last === undefined || last.endsMs - MARGIN_MS < Date.now()) last = await askEcr(await keys(), env);
    return { authorization: `Basic ${last.token}` };
  };
}

async function askEcr(keys: Awaited<ReturnType<ReturnType<typeof createAwsKeys>>>, env: Env) {
  const url = new URL(env['AWS_ENDPOINT_URL_ECR'] ?? `https://api.ecr.${keys.region}.amazonaws.com/`);
  const headers = {
    'content-type': 'application/x-amz-json-1.1',
    'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
  };
  const signed = await signAws({ method: 'POST', url, headers }, '{}', 'ecr', keys);
  const { statusCode, body } = await request(url, {
    method: 'POST',
    headers: { ...headers, ...signed },
    body: '{}',
    signal: AbortSignal.timeout(ECR_MS),
  });
  const bytes = await readBounded(body, MAX_ANSWER_BYTES);
  if (statusCode !== 200) {
    throw new BundleError(`ECR gave no token (${statusCode}); the keys need ecr:GetAuthorizationToken`);
  }
  return readEcrToken(bytes);
}

function readEcrToken(bytes: Buffer): { readonly token: string; readonly endsMs: number } {
  try {
    const { authorizationData } = JSON.parse(bytes.toString('utf8')) as { authorizationData?: unknown };
    const [first] = Array.isArray(authorizationData) ? authorizationData : [];
    const { authorizationToken: token, expiresAt } = first as { authorizationToken?: unknown; expiresAt?: unknown };
    if (typeof token === 'string' && /^[A-Za-z0-9+/=]+$/.test(token)) {
      return { token, endsMs: typeof expiresAt === 'number' ? expiresAt * 1000 : 0 };
    }
  } catch {
    // Whatever it is, it is no token, and is not quoted.
  }
  throw new BundleError('ECR answered without a token');
}
