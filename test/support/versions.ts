import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { readTar } from '../../src/bundles/tar.ts';
import { bundleLimits } from '../../src/bundles/unpack.ts';
import { bundleOf } from './archive.ts';
import type { Scope } from './scope.ts';
import { buildPolicy, type Tree } from './servers.ts';

/*
 * Bundles whose answers tell which version of which module gave them, and a server that knows which one is active.
 */

const policyOf = (module: string): string => `package envoy.authz

answer := concat("/", ["${module}", data.version])

allow := {"allowed": true, "headers": {"x-answer": answer}, "response_headers_to_add": {"x-answer": answer}}
`;

export type Archives = {
  /** Version `n`: module a for n = 0, 1, 4, 5 and so on, else b; so every second one changes the data only. */
  readonly archiveOf: (n: number, more?: Tree) => Buffer;
};

export const moduleOf = (n: number): string => (n % 4 < 2 ? 'a' : 'b');

/** `rego` makes the policy of a module; one that answers with its name and the version unless told otherwise. */
export function createArchives(folder: string, rego = policyOf): Archives {
  const wasmOf = (name: string): Buffer => {
    const archive = gunzipSync(readFileSync(buildPolicy(rego(name), folder, name)));
    return readTar(archive, bundleLimits).get('policy.wasm') as Buffer;
  };
  const modules = new Map(['a', 'b'].map((name) => [name, wasmOf(name)]));
  return {
    archiveOf: (n, more = {}) =>
      bundleOf([
        { name: 'policy.wasm', content: modules.get(moduleOf(n)) as Buffer },
        { name: 'data.json', content: JSON.stringify({ ...more, version: `v${n}.` }) },
        { name: '.manifest', content: JSON.stringify({ revision: `v${n}` }) },
      ]),
  };
}

/** Module and version that an answer tells of; undefined when it is no answer of such a policy. */
export function toldBy(answer: string): { readonly module: string; readonly version: number } | undefined {
  const [, module, version] = /\b([ab])\/v(\d+)\./.exec(answer) ?? [];
  return module === undefined ? undefined : { module, version: Number(version) };
}

export type Versions = {
  readonly url: string;
  /** The latest version that was there to be taken, and the latest of which the service says that it is active. */
  readonly offered: () => number;
  readonly confirmed: () => number;
  /** Offers a version; resolves when it is active in all processes. */
  readonly offer: (version: number, archive: Buffer) => Promise<void>;
};

/** A bundle server. A service asks with the tag of what is active, so that the next poll confirms an activation. */
export async function startVersions(scope: Scope, first: Buffer): Promise<Versions> {
  let [offered, confirmed, archive] = [0, -1, first];
  let waiting: (() => void) | undefined;
  const server = createServer((request, response) => {
    const etag = `"v${offered}"`;
    response.setHeader('etag', etag);
    const [active] = (request.headers['if-none-match'] ?? '').split(',');
    if (active?.trim() !== etag) {
      response.end(archive);
      return;
    }
    confirmed = offered;
    response.writeHead(304).end();
    waiting?.();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    offered: () => offered,
    confirmed: () => confirmed,
    offer: (version, next) =>
      new Promise((resolve) => {
        [offered, archive, waiting] = [version, next, resolve];
      }),
  };
}
