import { messageOf } from '../lib/message.ts';
import type { LogFormat, Logger, LogLevel } from '../telemetry/logger.ts';
import { createLogger } from '../telemetry/logger.ts';
import { type ConfigFlags, openConfiguration } from './configuration.ts';
import type { Io, Running, StartServer } from './ports.ts';

export type RunFlags = ConfigFlags & {
  readonly addr: string;
  readonly diagnosticAddr: string;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly bundle: readonly string[];
  readonly paths: readonly string[];
  readonly ignore: readonly string[];
};

/** `postern run`: serves until it is told to stop. Returns the exit code. */
export async function run(flags: RunFlags, io: Io, startServer: StartServer): Promise<number> {
  const log = createLogger(flags.logLevel, flags.logFormat, io.stderr);
  const configure = openConfiguration(flags, io.env);
  const loaded = configure();
  if (!loaded.ok) {
    for (const problem of loaded.problems) io.stderr.write(`postern: ${problem}\n`);
    io.stderr.write('postern: not started; docs/config.md lists every option\n');
    return 2;
  }
  for (const warning of loaded.warnings) log.warn({}, `configuration: ${warning}`);
  let running: Running | undefined;
  // From before the start: until then nothing is there that could be old.
  io.onReloadRequested(() => void reload(running, log));
  io.onRestartRequested(() => void restart(running, log));
  try {
    running = await startServer({
      config: loaded.config,
      apiAddress: flags.addr,
      diagnosticAddress: flags.diagnosticAddr,
      bundlePaths: flags.bundle,
      sourcePaths: flags.paths,
      ignore: flags.ignore,
      log,
      logging: { level: flags.logLevel, format: flags.logFormat },
      env: io.env,
      fork: io.fork,
      spawnStore: io.spawnStore,
      configure,
    });
  } catch (error) {
    io.stderr.write(`postern: not started: ${messageOf(error)}\n`);
    return 2;
  }
  const out = loaded.config.decision_logs.console ? io.stderr : io.stdout;
  out.write(describe(running, loaded.config.postern.tls?.api === true ? 'https' : 'http'));
  const signal = await io.stopRequested();
  log.info({ signal }, 'draining');
  try {
    await running.stop();
  } catch (error) {
    log.error({ cause: messageOf(error) }, 'stopping failed');
    return 1;
  }
  log.info({}, 'stopped');
  return 0;
}

async function reload(running: Running | undefined, log: Logger): Promise<void> {
  const parts = await running?.reload();
  // What came of it each part says itself.
  if (parts !== undefined)
    log.info({ parts }, parts.length === 0 ? 'nothing to reload' : 'reload: files looked at again');
}

async function restart(running: Running | undefined, log: Logger): Promise<void> {
  if (running === undefined) return;
  if (running.restart === undefined) {
    log.warn({}, 'there are no workers to restart');
    return;
  }
  try {
    await running.restart();
    log.info({}, 'all workers were restarted');
  } catch (error) {
    log.error({ cause: messageOf(error) }, 'workers could not be restarted; those that are left go on');
  }
}

function describe(running: Running, scheme: 'http' | 'https'): string {
  const { addresses, path } = running;
  const bundles = Object.entries(running.revisions()).map(
    ([name, revision]) => `${name} (revision ${revision || 'none'})`,
  );
  const input = JSON.stringify({
    input: {
      attributes: { request: { http: { method: 'GET', path: '/v1/data' } } },
      parsed_path: ['v1', 'data'],
      identity: { authenticated: true, subject: 'ann', claims: { roles: ['analyst'] } },
    },
  });
  return [
    'Postern is serving.',
    `  ext_authz gRPC   ${addresses.extAuthz}`,
    `  HTTP API         ${addresses.api}`,
    `  metrics, health  ${addresses.diagnostic}`,
    `  bundles          ${bundles.join(', ') || 'none yet: every request is answered 503'}`,
    `  entrypoint       ${path}`,
    'Try it:',
    `  curl -s ${scheme}://${reachable(addresses.api)}/v1/data/${path} -H 'content-type: application/json' -d '${input}'`,
    '',
  ].join('\n');
}

const reachable = (address: string): string => address.replace(/^(?:\[::\]|0\.0\.0\.0):/, 'localhost:');
