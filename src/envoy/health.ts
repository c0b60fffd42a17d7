import type { ServerUnaryCall, ServerWritableStream, sendUnaryData, UntypedHandleCall } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { readString, readTag, skipField } from './wire.ts';
import { numberField } from './writer.ts';

/** grpc.health.v1.Health (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). */
export type Health = {
  readonly handlers: { readonly check: UntypedHandleCall; readonly watch: UntypedHandleCall };
  /** Tells those who watch that readiness may have changed. */
  readonly changed: () => void;
  /** Ends what watches, which would otherwise hold its connection for ever. */
  readonly stop: () => void;
};

const SERVING = numberField(1, 1);
const NOT_SERVING = numberField(1, 2);
const SERVICE_UNKNOWN = numberField(1, 3);
const MAX_WATCHERS = 1000;

export function createHealth(services: readonly string[], isReady: () => boolean): Health {
  const watchers = new Map<ServerWritableStream<Buffer, Buffer>, Buffer | undefined>();
  const state = (): Buffer => (isReady() ? SERVING : NOT_SERVING);
  const knows = (service: string): boolean => service === '' || services.includes(service);

  function tell(call: ServerWritableStream<Buffer, Buffer>): void {
    const now = state();
    if (watchers.get(call) === now) return;
    watchers.set(call, now);
    call.write(now);
  }

  return {
    changed: () => {
      for (const call of watchers.keys()) tell(call);
    },
    stop: () => {
      for (const call of watchers.keys()) call.end();
      watchers.clear();
    },
    handlers: {
      check: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
        const service = serviceOf(call.request);
        if (service !== undefined && knows(service)) answer(null, state());
        else answer({ code: status.NOT_FOUND, details: 'unknown service' });
      },
      watch: (call: ServerWritableStream<Buffer, Buffer>) => {
        const service = serviceOf(call.request);
        if (service === undefined || !knows(service)) {
          call.write(SERVICE_UNKNOWN);
          return;
        }
        if (watchers.size >= MAX_WATCHERS) {
          call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'too many watchers' });
          return;
        }
        watchers.set(call, undefined);
        call.on('cancelled', () => watchers.delete(call));
        call.on('close', () => watchers.delete(call));
        tell(call);
      },
    },
  };
}

/** HealthCheckRequest.service; undefined when the bytes are none. */
function serviceOf(bytes: Buffer): string | undefined {
  const cursor = { bytes, at: 0 };
  let service = '';
  try {
    while (cursor.at < bytes.length) {
      const tag = readTag(cursor);
      if (tag === 0x0a) service = readString(cursor, bytes.length);
      else skipField(cursor, tag, bytes.length, 0);
    }
    return service;
  } catch {
    return undefined;
  }
}
