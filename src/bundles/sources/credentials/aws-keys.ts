import type { S3SigningConfig } from '../../../config/schema.ts';
import { BundleError } from '../../error.ts';

export type Env = { readonly [name: string]: string | undefined };

type Keys = {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
};
/** Keys, and the region for which they sign. */
export type AwsKeys = { readonly credentials: Keys; readonly region: string };

type Signing = Omit<S3SigningConfig, 'service' | 'signature_version'>;
type Provider = () => Promise<Keys>;

const PATIENCE_MS = 10_000;
/** Keys that end are replaced this long before, as OPA does. */
const MARGIN_MS = 300_000;

/**
 * Keys of AWS, from the first configured place that has some, in the order in which OPA asks (environment, assumed
 * role, web identity, profile, metadata, SSO). Keys that end are used again until five minutes before. Rejects with
 * BundleError, which names the places and why they had none.
 */
export function createAwsKeys(config: Signing, env: Env, now: () => number = Date.now): () => Promise<AwsKeys> {
  const places = placesOf(config, env).map((place) => ({ ...place, find: kept(place.find, now) }));
  return async () => {
    const failures: string[] = [];
    for (const { name, region, find, hint } of places) {
      try {
        const found = region ?? needed(env, 'AWS_REGION');
        return { region: found, credentials: await find() };
      } catch (error) {
        failures.push(`${name}: ${causeOf(error, hint)}`);
      }
    }
    throw new BundleError(`no AWS credentials: ${failures.join('; ')}`);
  };
}

type Place = {
  readonly name: string;
  readonly region: string | undefined;
  readonly find: Provider;
  /** What it means when the SDK finds nothing there. */
  readonly hint: string;
};

function placesOf(config: Signing, env: Env): readonly Place[] {
  const {
    environment_credentials: environment,
    assume_role_credentials: role,
    web_identity_credentials: web,
    profile_credentials: profile,
    metadata_credentials: metadata,
    sso_credentials: sso,
  } = config;
  const places: Place[] = [];
  const add = (name: string, region: string | undefined, find: Provider, hint: string): void =>
    void places.push({ name, region, find, hint });
  if (environment !== undefined) add('environment_credentials', undefined, fromEnvironment(env), '');
  if (role !== undefined) add('assume_role_credentials', role.aws_region, fromRole(role, env), 'STS gave none');
  if (web !== undefined) add('web_identity_credentials', web.aws_region, fromWebIdentity(web, env), 'STS gave none');
  if (profile !== undefined) {
    const hint = `the profile ${profileOf(profile.profile, env)} is not there, or has no keys`;
    add('profile_credentials', profile.aws_region, fromProfile(profile, env), hint);
  }
  if (metadata !== undefined) {
    add(
      'metadata_credentials',
      metadata.aws_region,
      fromMetadata(metadata, env),
      'the metadata service gave none; of EC2 version 2 is needed',
    );
  }
  if (sso !== undefined) {
    const name = profileOf(sso.profile, env);
    add('sso_credentials', sso.aws_region, fromSso(sso, env), `no session; run \`aws sso login --profile ${name}\``);
  }
  return places;
}

const profileOf = (name: string | undefined, env: Env): string => name ?? (env['AWS_PROFILE'] || 'default');

const fromEnvironment =
  (env: Env): Provider =>
  async () => {
    const token = env['AWS_SESSION_TOKEN'] || env['AWS_SECURITY_TOKEN'];
    return {
      accessKeyId: needed(env, 'AWS_ACCESS_KEY_ID'),
      secretAccessKey: needed(env, 'AWS_SECRET_ACCESS_KEY'),
      ...(token ? { sessionToken: token } : {}),
    };
  };

function fromRole(role: NonNullable<Signing['assume_role_credentials']>, env: Env): Provider {
  const source = createAwsKeys(role.aws_signing, env);
  return async () => {
    const { fromTemporaryCredentials } = await import('@aws-sdk/credential-providers');
    const region = role.aws_region ?? needed(env, 'AWS_REGION');
    const { credentials } = await source();
    return fromTemporaryCredentials({
      masterCredentials: credentials,
      params: { RoleArn: role.iam_role_arn ?? needed(env, 'AWS_ROLE_ARN'), RoleSessionName: role.session_name },
      clientConfig: awsClient(region, role.aws_domain ?? env['AWS_DOMAIN']),
    })();
  };
}

const fromWebIdentity =
  (web: NonNullable<Signing['web_identity_credentials']>, env: Env): Provider =>
  async () => {
    const { fromTokenFile } = await import('@aws-sdk/credential-providers');
    return fromTokenFile({
      roleArn: web.iam_role_arn ?? needed(env, 'AWS_ROLE_ARN'),
      webIdentityTokenFile: web.web_identity_token_file ?? needed(env, 'AWS_WEB_IDENTITY_TOKEN_FILE'),
      roleSessionName: web.session_name,
      clientConfig: awsClient(web.aws_region ?? needed(env, 'AWS_REGION'), web.aws_domain ?? env['AWS_DOMAIN']),
    })();
  };

const fromProfile =
  (profile: NonNullable<Signing['profile_credentials']>, env: Env): Provider =>
  async () => {
    const { fromIni } = await import('@aws-sdk/credential-providers');
    const path = profile.path ?? env['AWS_SHARED_CREDENTIALS_FILE'];
    return fromIni({
      profile: profileOf(profile.profile, env),
      ignoreCache: true,
      clientConfig: awsClient(undefined, undefined),
      ...(path === undefined ? {} : { filepath: path }),
    })();
  };

const fromMetadata =
  ({ iam_role: role }: NonNullable<Signing['metadata_credentials']>, env: Env): Provider =>
  async () => {
    const { fromHttp, fromInstanceMetadata } = await import('@aws-sdk/credential-providers');
    const relative = env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
    const full = env['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
    if (role !== undefined || (relative === undefined && full === undefined)) {
      return fromInstanceMetadata({ ec2MetadataV1Disabled: true, timeout: 2000, maxRetries: 1 })();
    }
    return fromHttp({ timeout: 2000, maxRetries: 1 })();
  };

const fromSso =
  (sso: NonNullable<Signing['sso_credentials']>, env: Env): Provider =>
  async () => {
    const { fromSSO } = await import('@aws-sdk/credential-providers');
    const path = sso.path ?? env['AWS_CONFIG_FILE'];
    return fromSSO({
      profile: profileOf(sso.profile, env),
      clientConfig: awsClient(undefined, undefined),
      ...(path === undefined ? {} : { configFilepath: path }),
    })();
  };

/** Few attempts and short ones: the next poll tries again. Without a region it is that of the profile. */
const awsClient = (region: string | undefined, domain: string | undefined) => ({
  ...(region === undefined ? {} : { region }),
  ...(region === undefined || domain === undefined ? {} : { endpoint: `https://sts.${region}.${domain}` }),
  maxAttempts: 2,
  requestHandler: { connectionTimeout: 3000, requestTimeout: 5000, throwOnRequestTimeout: true },
});

/** Asks once at a time, and again when what was given comes to its end; what has no end is asked for each time. */
function kept(provider: Provider, now: () => number): Provider {
  let last: Keys | undefined;
  let asking: Promise<Keys> | undefined;
  return async () => {
    const ends = last?.expiration?.getTime() ?? 0;
    if (last !== undefined && ends - MARGIN_MS > now()) return last;
    asking ??= inTime(provider()).finally(() => (asking = undefined));
    last = await asking;
    return last;
  };
}

async function inTime<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new BundleError(`no answer within ${PATIENCE_MS / 1000} s`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function needed(env: Env, name: string): string {
  const value = env[name];
  if (value === undefined || value === '') throw new BundleError(`${name} is not set`);
  return value;
}

const NOTHING_THERE = new Set(['CredentialsProviderError', 'TokenProviderError', 'InstanceMetadataV1FallbackError']);

/** Ours say what is missing; of others only names are told, since their text may quote what they have read. */
function causeOf(error: unknown, hint: string): string {
  if (error instanceof BundleError) return error.message;
  if (!(error instanceof Error)) return 'failed';
  if (NOTHING_THERE.has(error.name)) return hint;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  const path = 'path' in error && typeof error.path === 'string' ? ` ${error.path}` : '';
  return /^[\w.]{1,64}$/.test(code) ? `${code}${path}` : 'failed';
}
