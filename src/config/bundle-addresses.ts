import type { BundleConfig, ServiceConfig } from './schema.ts';

/** An object in S3: `s3://BUCKET/KEY`. */
export type S3Address = { readonly bucket: string; readonly key: string };

/** An image: `REGISTRY/REPOSITORY:TAG`, or `REGISTRY/REPOSITORY@DIGEST`. */
export type OciReference = {
  readonly repository: string;
  /** Tag or digest. */
  readonly reference: string;
  /** Set when it is a digest. */
  readonly digest: string | undefined;
};

const S3 = /^s3:\/\/([A-Za-z0-9][A-Za-z0-9._-]{1,254})\/(.+)$/;
const MAX_KEY_BYTES = 1024;

/** The key is taken as it stands, as the AWS command line takes it. Undefined when the text is no such address. */
export function parseS3Address(text: string): S3Address | undefined {
  const [, bucket, key] = S3.exec(text) ?? [];
  if (bucket === undefined || key === undefined) return undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (Buffer.byteLength(key) > MAX_KEY_BYTES || /[\u0000-\u001f\u007f]/.test(key)) return undefined;
  return { bucket, key };
}

const HOST = /^(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?$/;
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const MAX_REPOSITORY = 255;

/** Whether it is a digest of one of the algorithms that OCI registers (image-spec, descriptor.md). */
export const isDigest = (text: string): boolean => DIGEST.test(text);

/** In the grammar of the OCI distribution specification. Undefined when the text is no such reference. */
export function parseOciReference(text: string): OciReference | undefined {
  const slash = text.indexOf('/');
  const rest = text.slice(slash + 1);
  const at = rest.indexOf('@');
  const name = at < 0 ? rest : rest.slice(0, at);
  const colon = name.indexOf(':');
  const repository = colon < 0 ? name : name.slice(0, colon);
  const tag = colon < 0 ? undefined : name.slice(colon + 1);
  const digest = at < 0 ? undefined : rest.slice(at + 1);
  const reference = digest ?? tag;
  const isSound =
    HOST.test(text.slice(0, Math.max(slash, 0))) &&
    repository.length <= MAX_REPOSITORY &&
    REPOSITORY.test(repository) &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || isDigest(digest));
  return isSound && reference !== undefined ? { repository, reference, digest } : undefined;
}

/** What is wrong with where a bundle is to be found. */
export function addressProblems(
  name: string,
  { resource, service }: BundleConfig,
  services: { readonly [name: string]: ServiceConfig },
): string[] {
  if (resource?.startsWith('s3://')) {
    if (parseS3Address(resource) === undefined) return [`bundles.${name}.resource: s3://BUCKET/KEY is expected`];
    if (service !== undefined)
      return [`bundles.${name}.service: an s3:// address has none; its keys are found by the SDK`];
    return [];
  }
  const isElsewhere = resource !== undefined && /^(?:https?|file):\/\//.test(resource);
  const named = service === undefined ? Object.values(services)[0] : services[service];
  if (named?.type !== 'oci' || (isElsewhere && (service === undefined || resource.startsWith('file:')))) return [];
  if (resource !== undefined && parseOciReference(resource) !== undefined) return [];
  return [`bundles.${name}.resource: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST is expected`];
}

/** What is wrong with the AWS signature of a service. */
export function serviceProblems([name, { type, credentials }]: readonly [string, ServiceConfig]): string[] {
  const signing = credentials?.s3_signing;
  if (signing === undefined) return [];
  const path = `services.${name}.credentials.s3_signing`;
  const problems: string[] = [];
  if (!hasKeys(signing)) problems.push(`${path}: says not where keys come from, such as environment_credentials`);
  const role = signing.assume_role_credentials;
  if (role !== undefined && !hasKeys(role.aws_signing)) {
    problems.push(`${path}.assume_role_credentials.aws_signing: says not where keys come from`);
  }
  const { service } = signing;
  if (type === 'oci' && service !== undefined && service !== 'ecr') {
    problems.push(`${path}.service: only ecr goes with type oci`);
  }
  if (type !== 'oci' && service === 'ecr') problems.push(`${path}.service: ecr goes with type oci only`);
  return problems;
}

const hasKeys = (signing: object): boolean => Object.keys(signing).some((key) => key.endsWith('_credentials'));
