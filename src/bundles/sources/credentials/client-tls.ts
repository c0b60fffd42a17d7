import type { ServiceConfig } from '../../../config/schema.ts';
import { readCertificates } from '../../../lib/certificates.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { ClientCertificate } from '../../../lib/http-transport.ts';
import { messageOf } from '../../../lib/message.ts';
import type { Certificates } from '../../../lib/watched-certificates.ts';

type ClientTlsConfig = NonNullable<NonNullable<ServiceConfig['credentials']>['client_tls']>;

/**
 * A client certificate that follows its files. While they cannot be used (half-written, of two pairs), the one before is
 * shown as long as it is valid, and `onKept` is told why. Rejects when there is none.
 */
export function createClientCertificate(
  config: ClientTlsConfig,
  clock: Clock,
  onKept: (cause: string) => void,
): () => Promise<ClientCertificate> {
  const files = {
    cert: config.cert,
    key: config.private_key,
    passphrase: config.private_key_passphrase,
    clientCa: undefined,
  };
  const rereadMs = config.cert_reread_interval_seconds * 1000;
  let current: Certificates | undefined;
  let readMs = Number.NEGATIVE_INFINITY;
  return async () => {
    if (current !== undefined && clock.monotonicMs() - readMs < rereadMs) return current;
    try {
      current = await readCertificates(files, clock.wallMs());
      readMs = clock.monotonicMs();
    } catch (error) {
      if (current === undefined || current.expiresMs <= clock.wallMs()) throw error;
      onKept(messageOf(error));
    }
    return current;
  };
}
