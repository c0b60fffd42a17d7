import type { S3Address } from '../../config/bundle-addresses.ts';
import { BodyTooLarge } from '../../lib/bounded-body.ts';
import { BundleError } from '../error.ts';

/** What the keys must be allowed to. */
const needs = {
  read: 's3:GetObject on it, and s3:ListBucket, without which a missing object looks the same',
  write: 's3:PutObject on it',
};
const NO_KEYS =
  'no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or run where a role is attached';
const REGION = 'the bucket is in another region; set AWS_REGION or postern.s3.region';

/** Codes of S3 (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and of the SDK. */
const causes: { readonly [code: string]: string } = {
  NoSuchKey: 'there is no such object',
  NoSuchVersion: 'there is no such version of the object',
  NoSuchBucket: 'there is no such bucket',
  AccessDenied: 'access denied',
  AllAccessDisabled: 'access to the bucket is disabled',
  InvalidObjectState: 'the object is archived; restore it first',
  InvalidAccessKeyId: 'the access key is not known; is it for this server, and still active?',
  SignatureDoesNotMatch: 'the signature does not match; the secret key is wrong, or a proxy changed the request',
  ExpiredToken: 'the session token has expired',
  InvalidToken: 'the session token is not valid',
  TokenRefreshRequired: 'the session token has expired',
  RequestTimeTooSkewed: 'the clock of this machine is too far from that of the server',
  PermanentRedirect: REGION,
  AuthorizationHeaderMalformed: REGION,
  IllegalLocationConstraintException: REGION,
  PreconditionFailed: 'somebody else has changed the object meanwhile',
  ConditionalRequestConflict: 'somebody else is changing the object',
  CredentialsProviderError: NO_KEYS,
  TimeoutError: 'the server does not answer in time',
  ETIMEDOUT: 'the server does not answer in time',
};

/** What went wrong with an object, and what to do about it. Of what the server wrote only its code is quoted. */
export function explainS3({ bucket, key }: S3Address, wanted: 'read' | 'write', error: unknown): BundleError {
  const cause = causeOf(error);
  const advice = cause.startsWith('access denied') ? `; the keys need ${needs[wanted]}` : '';
  return new BundleError(`s3://${bucket}/${key}: ${cause}${advice}`);
}

function causeOf(error: unknown): string {
  if (error instanceof BundleError || error instanceof BodyTooLarge) return error.message;
  if (!(error instanceof Error)) return 'failed';
  const status = statusOf(error);
  if (status === undefined && /^region /i.test(error.message)) {
    return 'no region, or none that is valid; set AWS_REGION or postern.s3.region';
  }
  const code = codeOf(error);
  const known = Object.hasOwn(causes, code) ? causes[code] : undefined;
  if (status === undefined) return known ?? (/^E[A-Z_]+$/.test(code) ? `the connection failed (${code})` : code);
  return known === undefined ? `the server answered ${status} (${code})` : `${known} (${code}, ${status})`;
}

/** HTTP status of the answer, when there was one. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  const { httpStatusCode: status } = error.$metadata as { readonly httpStatusCode?: unknown };
  return typeof status === 'number' ? status : undefined;
}

function codeOf(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return /^[\w.]{1,64}$/.test(code) ? code : 'an error without a name';
}
