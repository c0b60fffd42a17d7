import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { eventually, freePorts, startProcess, tool } from './process.ts';
import type { Scope } from './scope.ts';
import { scratchFolder } from './servers.ts';

export const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';

/** Who may use the registry with `auth: basic`, and the line of htpasswd for it. */
export const puller = { name: 'puller', password: 'pull-secret' } as const;
const HTPASSWD = 'puller:$2a$04$ZAVaKJ4krt0QSS11.sLyKOadRSlcp2CJwfnY2bjt1xJlB0qW6fh9y\n';

export type RegistryAuth =
  | 'none'
  | 'basic'
  | { readonly realm: string; readonly issuer: string; readonly service: string; readonly jwks: object };

export type Headers = { readonly [name: string]: string };
export type Pushed = { readonly digest: string; readonly size: number };

export type TestRegistry = {
  readonly url: string;
  /** HOST:PORT, as references begin. */
  readonly host: string;
  /** Pushes an image with one layer, as `oras push` does. Gives the digest of its manifest. */
  readonly push: (repository: string, tag: string, layer: Buffer, options?: PushOptions) => Promise<Pushed>;
  readonly pushIndex: (repository: string, tag: string, manifests: readonly object[]) => Promise<Pushed>;
  readonly remove: (repository: string, digest: string) => Promise<void>;
  readonly stop: () => Promise<void>;
};

export type PushOptions = { readonly mediaType?: string; readonly headers?: Headers };

export const sha256 = (bytes: Buffer | string): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export const imageManifest = (layer: Buffer, mediaType: string = LAYER): object => ({
  schemaVersion: 2,
  mediaType: MANIFEST,
  config: { mediaType: CONFIG, digest: sha256('{}'), size: 2 },
  layers: [{ mediaType, digest: sha256(layer), size: layer.length }],
});

export const imageIndex = (manifests: readonly object[]): object => ({ schemaVersion: 2, mediaType: INDEX, manifests });

/** A real registry (distribution) in memory, on a free port of the loopback interface. */
export async function startRegistry(scope: Scope, auth: RegistryAuth = 'none'): Promise<TestRegistry> {
  const folder = scratchFolder(scope);
  const [port = 0] = await freePorts(1);
  const host = `127.0.0.1:${port}`;
  const file = join(folder, 'registry.yaml');
  writeFileSync(file, stringify({ ...fixed, http: { addr: host }, ...authOf(auth, folder) }));
  const child = startProcess(scope, tool('registry'), ['serve', file], { env: { OTEL_TRACES_EXPORTER: 'none' } });
  const url = `http://${host}`;
  await Promise.race([
    eventually(async () => ([200, 401].includes((await fetch(`${url}/v2/`)).status) ? true : undefined)),
    child.exited.then((code) => {
      throw new Error(`registry ended with ${code}:\n${child.stdout()}${child.stderr()}`);
    }),
  ]);

  const push: TestRegistry['push'] = async (repository, tag, layer, { mediaType = LAYER, headers = {} } = {}) => {
    await putBlob(url, repository, Buffer.from('{}'), headers);
    await putBlob(url, repository, layer, headers);
    return putManifest(url, repository, tag, MANIFEST, imageManifest(layer, mediaType), headers);
  };
  return {
    url,
    host,
    push,
    pushIndex: (repository, tag, manifests) => putManifest(url, repository, tag, INDEX, imageIndex(manifests), {}),
    remove: (repository, digest) => sent(`${url}/v2/${repository}/manifests/${digest}`, { method: 'DELETE' }, 202),
    stop: async () => void (await child.stop()),
  };
}

const fixed = {
  version: 0.1,
  log: { level: 'error', accesslog: { disabled: true } },
  storage: { inmemory: {}, delete: { enabled: true } },
};

function authOf(auth: RegistryAuth, folder: string): object {
  if (auth === 'none') return {};
  if (auth === 'basic') {
    const path = join(folder, 'htpasswd');
    writeFileSync(path, HTPASSWD);
    return { auth: { htpasswd: { realm: 'test', path } } };
  }
  const jwks = join(folder, 'jwks.json');
  writeFileSync(jwks, JSON.stringify(auth.jwks));
  return { auth: { token: { realm: auth.realm, service: auth.service, issuer: auth.issuer, jwks } } };
}

async function putBlob(url: string, repository: string, bytes: Buffer, headers: Headers): Promise<void> {
  const started = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST', headers });
  const location = new URL(started.headers.get('location') ?? '', url);
  location.searchParams.set('digest', sha256(bytes));
  await sent(location.href, { method: 'PUT', headers, body: new Uint8Array(bytes) }, 201);
}

async function putManifest(
  url: string,
  repository: string,
  tag: string,
  mediaType: string,
  manifest: object,
  headers: Headers,
): Promise<Pushed> {
  const body = JSON.stringify(manifest);
  const options = { method: 'PUT', headers: { ...headers, 'content-type': mediaType }, body };
  await sent(`${url}/v2/${repository}/manifests/${tag}`, options, 201);
  return { digest: sha256(body), size: body.length };
}

async function sent(url: string, options: RequestInit, expected: number): Promise<void> {
  const response = await fetch(url, options);
  const text = await response.text();
  if (response.status !== expected) throw new Error(`${options.method} ${url}: ${response.status} ${text}`);
}
