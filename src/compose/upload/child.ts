import { createServices } from '../../bundles/sources/services.ts';
import type { Settings } from '../../cli/ports.ts';
import { REPORT_EVERY_MS } from '../../decisions/store/protocol.ts';
import type { UploadFunctions, UploadOwnerFunctions, UploadSettings } from '../../decisions/upload/protocol.ts';
import { startUploader, type Uploader } from '../../decisions/upload/uploader.ts';
import { type Channel, createChannel, type Pipe } from '../../lib/channel.ts';
import { systemClock } from '../../lib/clock.ts';
import { createLogger } from '../../telemetry/logger.ts';

const HEADERS = { 'content-type': 'application/json', 'content-encoding': 'gzip' };

type Surroundings = {
  readonly stderr: { readonly write: (text: string) => unknown };
  readonly env: Settings['env'];
};

/** The process that sends decisions. Resolves when it was told to stop and has. */
export function runUpload(pipe: Pipe, surroundings: Surroundings): Promise<void> {
  let uploader: Uploader | undefined;
  return new Promise((done) => {
    const functions: UploadFunctions = {
      start: async (settings) => {
        uploader = await begin(settings, surroundings);
        setInterval(() => void report(), REPORT_EVERY_MS).unref();
      },
      flush: () => uploader?.flush(),
      stop: async (forMs) => {
        await uploader?.stop(forMs);
        await report();
        // Behind the answer to this call.
        setImmediate(done);
      },
    };
    const owner: Channel<UploadOwnerFunctions> = createChannel<UploadOwnerFunctions>(pipe, functions);
    async function report(): Promise<void> {
      // Whoever does not hear it any more has gone, and takes this process along.
      if (uploader !== undefined) await owner.call('report', uploader.report()).catch(() => {});
    }
  });
}

function begin(settings: UploadSettings, { stderr, env }: Surroundings): Promise<Uploader> {
  const { logging, serviceName, keys } = settings;
  const log = createLogger(logging.level, logging.format, stderr);
  const url = new URL(settings.url);
  const services = createServices({
    services: { [serviceName]: settings.service },
    ...{ keys, env, clock: systemClock, log },
  });
  const client = services.clientOf(serviceName);
  return startUploader({
    settings,
    post: async (body, signal) => (await client.post({ url, headers: HEADERS, body, signal })).status,
    clock: systemClock,
    random: Math.random,
    log,
  });
}
