import type { ServiceConfig, SigningKeyConfig } from '../../config/schema.ts';
import type { Clock } from '../../lib/clock.ts';
import { createTransport, type Transport } from '../../lib/http-transport.ts';
import { createClientCertificate } from './credentials/client-tls.ts';
import { type Credentials, credentialsOf } from './credentials/credentials.ts';
import { createServiceClient, type ServiceClient, type TransferLimits, transferLimits } from './service-client.ts';

export type ServicesParts = {
  readonly services: { readonly [name: string]: ServiceConfig };
  readonly keys: { readonly [name: string]: SigningKeyConfig };
  readonly env: { readonly [name: string]: string | undefined };
  readonly clock: Clock;
  readonly log: { readonly warn: (fields: object, message: string) => void };
  readonly limits?: TransferLimits | undefined;
};

/** The services that bundles come from; all bundles of one share its connections and its credentials. */
export type Services = {
  readonly configOf: (name: string) => ServiceConfig | undefined;
  readonly names: readonly string[];
  /** Of a service, or, without a name, of nobody in particular: without credentials. */
  readonly clientOf: (name: string | undefined) => ServiceClient;
  /** What a service that speaks another protocol is asked with. */
  readonly connectionOf: (name: string) => { readonly transport: Transport; readonly credentials: Credentials };
  readonly close: () => Promise<void>;
};

const HEADERS_SECONDS = 10;

export function createServices(parts: ServicesParts): Services {
  const clients = new Map<string | undefined, ServiceClient>();
  const transports: Transport[] = [];

  function connect(name: string | undefined): { readonly transport: Transport; readonly credentials: Credentials } {
    const config = name === undefined ? undefined : parts.services[name];
    const transport = createTransport(transportOptions(name ?? '', config, parts));
    transports.push(transport);
    const credentials = config === undefined ? async () => ({}) : credentialsOf(config, { ...parts, transport });
    return { transport, credentials };
  }

  function open(name: string | undefined): ServiceClient {
    const config = name === undefined ? undefined : parts.services[name];
    return createServiceClient({
      ...connect(name),
      headers: config?.headers ?? {},
      headersTimeoutMs: (config?.response_header_timeout_seconds ?? HEADERS_SECONDS) * 1000,
      limits: parts.limits ?? transferLimits,
      clock: parts.clock,
    });
  }

  return {
    names: Object.keys(parts.services),
    configOf: (name) => parts.services[name],
    clientOf: (name) => {
      const client = clients.get(name) ?? open(name);
      clients.set(name, client);
      return client;
    },
    connectionOf: connect,
    close: async () => {
      await Promise.all(transports.map((transport) => transport.close()));
    },
  };
}

function transportOptions(
  name: string,
  config: ServiceConfig | undefined,
  { env, clock, log }: ServicesParts,
): Parameters<typeof createTransport>[0] {
  const pair = config?.credentials?.client_tls;
  // OPA: the older place counts only where the newer one is empty.
  const trust = config?.tls?.ca_cert === undefined ? pair : config.tls;
  let warned: string | undefined;
  const onKept = (cause: string): void => {
    if (cause !== warned)
      log.warn({ service: name, cause }, 'client certificate not reloaded; the one before is shown');
    warned = cause;
  };
  return {
    caFile: trust?.ca_cert,
    withSystemCa: trust?.system_ca_required ?? false,
    certificate: pair === undefined ? undefined : createClientCertificate(pair, clock, onKept),
    skipVerification: config?.allow_insecure_tls ?? false,
    env,
  };
}
