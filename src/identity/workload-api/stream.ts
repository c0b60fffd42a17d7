import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { endpointTarget } from '../../config/workload-api.ts';
import { backoffMs } from '../../lib/backoff.ts';
import { messageOf } from '../../lib/message.ts';

export type StreamOptions = {
  /** Where the Workload API is, as it is configured. */
  readonly socket: string;
  readonly method: 'FetchX509SVID' | 'FetchJWTBundles';
  readonly random: () => number;
  /** Each message is complete, it takes the place of the one before. May throw when it cannot be used. */
  readonly onMessage: (message: Buffer) => void;
  /** There is no stream now, or a message could not be used. The cause is short and has no content of messages. */
  readonly onFailure: (cause: string) => void;
};

const MAX_MESSAGE_BYTES = 4_194_304;
/** What the agent knows it sends at once (SPIFFE Workload API, section 4.3); one that does not is stuck. */
const FIRST_MESSAGE_MS = 30_000;
/** Pace of messages, whatever the agent's. */
const EACH_MESSAGE_MS = 100;
const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 10_000;
const MAX_CAUSE = 200;

const CHANNEL = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  // The agent must be asked itself, and one connection must not wait for what happened to an earlier one.
  'grpc.enable_http_proxy': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_channelz': 0,
  'grpc.service_config_disable_resolution': 1,
};

const same = (value: Buffer): Buffer => value;

/** Asks the Workload API for one stream, and again with growing delays whenever it ends. Returns what stops it. */
export function openStream(options: StreamOptions): () => void {
  let stopped = false;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let hangUp = (): void => {};

  const attempt = (): void => {
    hangUp = ask(
      options,
      (message) => {
        try {
          options.onMessage(message);
          failures = 0;
        } catch (error) {
          options.onFailure(shortened(messageOf(error)));
        }
      },
      (cause, isFinal) => {
        if (stopped) return;
        // The specification would have us stop asking, but whoever mends the agent does not restart us.
        const delay = isFinal ? RETRY_CAP_MS : backoffMs(failures, RETRY_BASE_MS, RETRY_CAP_MS, options.random);
        failures++;
        timer = setTimeout(attempt, delay);
        timer.unref();
        options.onFailure(cause);
      },
    );
  };
  attempt();
  return () => {
    stopped = true;
    clearTimeout(timer);
    hangUp();
  };
}

/** One connection with one call. Calls `onEnd` once. Returns what ends it without that. */
function ask(
  { socket, method }: StreamOptions,
  onMessage: (message: Buffer) => void,
  onEnd: (cause: string, isFinal: boolean) => void,
): () => void {
  const client = new Client(endpointTarget(socket), credentials.createInsecure(), CHANNEL);
  const metadata = new Metadata();
  // SPIFFE Workload Endpoint, section 3: without this an agent must not answer.
  metadata.set('workload.spiffe.io', 'true');
  const call = client.makeServerStreamRequest(
    `/SpiffeWorkloadAPI/${method}`,
    same,
    same,
    // All requests are empty messages.
    Buffer.alloc(0),
    metadata,
  );
  let over = false;
  let pace: NodeJS.Timeout | undefined;
  const hangUp = (): void => {
    over = true;
    clearTimeout(silence);
    clearTimeout(pace);
    call.cancel();
    client.close();
  };
  const end = (cause: string, isFinal = false): void => {
    if (over) return;
    hangUp();
    onEnd(cause, isFinal);
  };
  const silence = setTimeout(() => end(`no answer within ${FIRST_MESSAGE_MS / 1000} s`), FIRST_MESSAGE_MS);
  silence.unref();
  call.on('data', (message: Buffer) => {
    if (over) return;
    clearTimeout(silence);
    call.pause();
    pace = setTimeout(() => call.resume(), EACH_MESSAGE_MS);
    onMessage(message);
  });
  call.on('error', (error: ServiceError) =>
    end(
      shortened(`${status[error.code] ?? 'error'}: ${error.details}`),
      error.code === status.INVALID_ARGUMENT || error.code === status.UNIMPLEMENTED,
    ),
  );
  call.on('end', () => end('the agent has ended the stream'));
  return hangUp;
}

/** What an agent says is put into logs. */
const shortened = (text: string): string => text.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, MAX_CAUSE);
