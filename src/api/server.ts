import { existsSync, unlinkSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import fastify, { type FastifyInstance } from 'fastify';
import type { ServerTls } from '../lib/tls-server.ts';
import { createAdminGuard } from './admin.ts';
import { serveBundles } from './bundles.ts';
import { serveData } from './data.ts';
import { serveDecisions } from './decisions.ts';
import { serveHealth } from './health.ts';
import type { ApiParts } from './ports.ts';

export type HttpListener = {
  /** Where it listens, with the port that was given to it. */
  readonly address: string;
  readonly stop: () => Promise<void>;
};

const MAX_BODY_BYTES = 65_536;

/** The HTTP API: OPA's data, health, status and config endpoints, and what is ours. Rejects when it cannot listen. */
export async function startApi(address: string, parts: ApiParts): Promise<HttpListener> {
  const guard = await createAdminGuard({ address, tokenFile: parts.tokenFile, log: parts.log });
  const app = createApp(parts.tls);
  serveHealth(app, parts);
  serveMetrics(app, parts);
  serveData(app, parts);
  serveBundles(app, parts, guard);
  if (parts.decisions !== undefined) serveDecisions(app, guard, parts.decisions);
  app.get('/v1/status', (_request, reply) => reply.send({ result: parts.status() }));
  app.get('/v1/config', (_request, reply) => reply.send({ result: parts.config() }));
  return listen(app, address);
}

/** Metrics and health, for those who look after the process. Rejects when it cannot listen. */
export function startDiagnostics(address: string, parts: ApiParts): Promise<HttpListener> {
  const app = createApp();
  serveHealth(app, parts);
  serveMetrics(app, parts);
  return listen(app, address);
}

const timeouts = { requestTimeout: 10_000, connectionTimeout: 30_000, keepAliveTimeout: 30_000 };

function createApp(tls?: ServerTls): FastifyInstance {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    ...timeouts,
    ...(tls === undefined ? {} : { serverFactory: secureServers(tls) }),
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 1024 },
  });
  app.setErrorHandler((error: { readonly statusCode?: number; readonly message?: string }, _request, reply) => {
    const status = error.statusCode ?? 500;
    // Only what the client did wrong is explained to it.
    const message = status < 500 ? (error.message ?? 'bad request') : 'internal error';
    return reply.code(status).send({ code: status < 500 ? 'invalid_parameter' : 'internal_error', message });
  });
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({ code: 'resource_not_found', message: 'no such endpoint' }),
  );
  return app;
}

/** Fastify makes a server for each address of a name; each needs the guard, and timeouts that it leaves to factories. */
const secureServers =
  (tls: ServerTls) =>
  (handler: RequestListener): Server => {
    const server = createHttpsServer(tls.options(), handler);
    server.requestTimeout = timeouts.requestTimeout;
    server.keepAliveTimeout = timeouts.keepAliveTimeout;
    server.setTimeout(timeouts.connectionTimeout);
    tls.guard(server);
    return server as unknown as Server;
  };

function serveMetrics(app: FastifyInstance, { metrics }: ApiParts): void {
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.expose()));
}

async function listen(app: FastifyInstance, address: string): Promise<HttpListener> {
  const stop = (): Promise<void> => app.close();
  if (address.startsWith('unix://')) {
    const path = address.slice('unix://'.length);
    if (existsSync(path)) unlinkSync(path);
    await app.listen({ path });
    return { address, stop };
  }
  const match = /^(?:http:\/\/)?(.*):([0-9]{1,5})$/.exec(address);
  if (match === null) throw new Error(`${address}: HOST:PORT expected`);
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '');
  await app.listen({ host: host === '' ? '::' : host, port: Number(match[2]) });
  const bound = app.server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : Number(match[2]);
  return { address: `${match[1] === '' ? '[::]' : match[1]}:${port}`, stop };
}
