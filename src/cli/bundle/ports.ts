import type { Config } from '../../config/schema.ts';
import type { SignatureAlgorithm } from '../../lib/public-key.ts';
import type { JsonObject } from '../../model/json.ts';
import type { ModuleReport } from '../../policy/admission.ts';
import type { Io } from '../ports.ts';

/*
 * What the bundle commands need. Everything here rejects with CommandFailed when the answer is no, and with another error
 * when there is nothing to answer about. Sizes are in bytes.
 */

/** What a signature says about itself. Whoever wrote it may have written anything, unless it was verified. */
export type SignatureReport = {
  readonly keyId?: string | undefined;
  readonly algorithm: string;
  /** Seconds since the epoch. */
  readonly issuedAt?: number | undefined;
  readonly issuer?: string | undefined;
  readonly scope?: string | undefined;
  readonly files: number;
  readonly verified: boolean;
};

/** What `postern bundle inspect` tells. */
export type BundleReport = {
  readonly revision: string;
  readonly roots: readonly string[];
  /** Their problems are among those of the bundle. */
  readonly modules: readonly Omit<ModuleReport, 'problems'>[];
  /** Size of the data as JSON. */
  readonly data: number;
  /** The Rego that it was compiled from, as far as it is there. */
  readonly sources: readonly string[];
  /** What whoever built it wrote into the manifest. */
  readonly metadata: JsonObject;
  /** Undefined: it has none. */
  readonly signature?: SignatureReport | undefined;
  /** Empty when the bundle can serve. */
  readonly problems: readonly string[];
};

/** Looks at a bundle file or folder as activation would. */
export type InspectBundle = (file: string, config: Config) => Promise<BundleReport>;

/** A bundle that was written or sent. */
export type BundleFile = { readonly bytes: number; readonly sha256: string };

export type BuildRequest = {
  readonly paths: readonly string[];
  readonly output: string;
  /** None: the decision that is configured. */
  readonly entrypoints: readonly string[];
  /** Undefined: that of the git repository. */
  readonly revision: string | undefined;
  readonly ignore: readonly string[];
  readonly capabilities: string | undefined;
  readonly asBundles: boolean;
};
/** Builds a bundle, and writes it when it can serve; undefined as `file` when it cannot. */
export type BuildBundle = (
  request: BuildRequest,
  config: Config,
  env: Io['env'],
) => Promise<{ readonly report: BundleReport; readonly file: BundleFile | undefined }>;

export type SignRequest = {
  readonly bundle: string;
  readonly output: string;
  /** A file with the private key, in PEM. */
  readonly key: string;
  readonly algorithm: SignatureAlgorithm;
  readonly keyId: string | undefined;
  readonly scope: string | undefined;
  readonly issuer: string | undefined;
};
export type SignBundle = (
  request: SignRequest,
) => Promise<{ readonly signature: SignatureReport; readonly file: BundleFile }>;

export type VerifyRequest = {
  readonly bundle: string;
  /** A file with the public key or a certificate, in PEM. */
  readonly key: string;
  readonly algorithm: SignatureAlgorithm;
  /** Undefined: whatever the signature calls it. */
  readonly keyId: string | undefined;
  readonly scope: string;
  readonly excludeFiles: readonly string[];
};
export type VerifyBundle = (
  request: VerifyRequest,
) => Promise<{ readonly revision: string; readonly signature: SignatureReport }>;

export type Names = { readonly added: readonly string[]; readonly removed: readonly string[] };
export type Files = Names & { readonly changed: readonly string[] };

/** A change of the data, at a JSON pointer (RFC 6901); values as JSON text. */
export type DataChange = {
  readonly kind: 'added' | 'removed' | 'changed';
  readonly path: string;
  readonly before?: string | undefined;
  readonly after?: string | undefined;
};

/** What is different in another bundle. */
export type BundleDiff = {
  readonly differ: boolean;
  /** Undefined: the same. */
  readonly revision: { readonly before: string; readonly after: string } | undefined;
  readonly roots: Names;
  readonly entrypoints: Names;
  readonly modules: Files;
  readonly sources: Files;
  readonly builtins: Names;
  /** Those of the built-ins that wait for the network. */
  readonly network: Names;
  readonly data: {
    readonly added: number;
    readonly removed: number;
    readonly changed: number;
    /** The first of them. */
    readonly changes: readonly DataChange[];
  };
  readonly metadata: boolean;
  /** Undefined: neither has one, or both say the same. */
  readonly signature:
    | { readonly before: SignatureReport | undefined; readonly after: SignatureReport | undefined }
    | undefined;
};
export type DiffBundles = (
  before: string,
  after: string,
  options: { readonly values: boolean; readonly limit: number },
) => Promise<BundleDiff>;

export type PushRequest = {
  /** http, https or s3. */
  readonly url: string;
  readonly bundle: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** A file with a bearer token. */
  readonly tokenFile: string | undefined;
  /** A file with the authorities (PEM) that may vouch for the server; undefined: the system's. */
  readonly caFile: string | undefined;
  /** Whether it has to be able to serve. */
  readonly check: boolean;
};
export type PushBundle = (
  request: PushRequest,
  config: Config,
  env: Io['env'],
) => Promise<{ readonly to: string; readonly answer: string; readonly file: BundleFile }>;

export type BundleCommands = {
  readonly inspectBundle: InspectBundle;
  readonly buildBundle: BuildBundle;
  readonly signBundle: SignBundle;
  readonly verifyBundle: VerifyBundle;
  readonly diffBundles: DiffBundles;
  readonly pushBundle: PushBundle;
};
