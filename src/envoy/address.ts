import { existsSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';

/** Where to listen, in grpc-js's spelling, or why not. */
export type ListenAddress = { readonly target: string; readonly socketFile: string | undefined };

/**
 * `HOST:PORT`, `:PORT`, `grpc://HOST:PORT`, `unix:///PATH` and `unix://@NAME` (an abstract socket), as
 * opa-envoy-plugin reads them. Throws Error.
 */
export function parseAddress(text: string): ListenAddress {
  const url = text.includes('://') ? text : `grpc://${text}`;
  const cut = url.indexOf('://');
  const scheme = url.slice(0, cut);
  const rest = url.slice(cut + 3);
  if (scheme === 'unix') {
    if (rest === '' || rest === '@') throw new Error(`${text}: no socket path`);
    if (rest.startsWith('@')) return { target: `unix-abstract:${rest.slice(1)}`, socketFile: undefined };
    return { target: `unix:${rest}`, socketFile: rest };
  }
  if (scheme !== 'grpc') throw new Error(`${text}: unknown scheme ${scheme}`);
  const match = /^(.*):([0-9]{1,5})\/?$/.exec(rest);
  if (match === null || Number(match[2]) > 65_535) throw new Error(`${text}: HOST:PORT expected`);
  const host = match[1] === '' ? '[::]' : match[1];
  return { target: `${host}:${match[2]}`, socketFile: undefined };
}

/** Removes a socket file that nobody listens on any more. Rejects when somebody does. */
export async function clearSocketFile(file: string): Promise<void> {
  if (!existsSync(file)) return;
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = connect({ path: file });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (isAlive) throw new Error(`${file}: another process listens there`);
  unlinkSync(file);
}
