import { isIP } from 'node:net';
import { parseSpiffeId } from '../identity/spiffe.ts';
import { readAuthorities, readCertificates } from '../lib/certificates.ts';
import { systemClock } from '../lib/clock.ts';
import type { ClientTls } from '../model/question.ts';

export type TlsFlags = {
  readonly tls?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
};

const HOST_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?$/;

/** Whether any of the flags asks for TLS. */
export const wantsTls = ({ tls, tlsCa, tlsCert, tlsKey, tlsServerName }: TlsFlags): boolean =>
  tls === true || [tlsCa, tlsCert, tlsKey, tlsServerName].some((value) => value !== undefined);

/** How to speak TLS, with what the files hold. Rejects with an error that names the flag or the file. */
export async function clientTlsOf(flags: TlsFlags): Promise<ClientTls> {
  const { tlsCa, tlsCert: cert, tlsKey: key, tlsServerName: serverName } = flags;
  if (serverName !== undefined && !isServerName(serverName)) {
    throw new Error('--tls-server-name: a host name, an address or a spiffe:// URI is expected');
  }
  if ((cert === undefined) !== (key === undefined)) throw new Error('--tls-cert and --tls-key go together');
  return {
    serverName,
    ca: tlsCa === undefined ? undefined : await readAuthorities(tlsCa),
    certificate:
      cert === undefined || key === undefined
        ? undefined
        : await readCertificates({ cert, key, clientCa: undefined }, systemClock.wallMs()),
  };
}

const isServerName = (name: string): boolean =>
  name.startsWith('spiffe:') ? parseSpiffeId(name) !== undefined : isIP(name) !== 0 || HOST_NAME.test(name);
