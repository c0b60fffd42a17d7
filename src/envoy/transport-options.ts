import type { ServerOptions } from '@grpc/grpc-js';

/** Limits of the gRPC server, beside those that are Postern's own; a bench starts a server of the same ones that does nothing. */
export const transportOptions = (limits: {
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
}): ServerOptions => ({
  'grpc.max_receive_message_length': limits.maxReceiveBytes,
  'grpc.max_send_message_length': limits.maxSendBytes,
  'grpc.max_concurrent_streams': 1000,
  'grpc-node.max_session_memory': 64,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_idle_ms': 300_000,
  'grpc.enable_channelz': 0,
});
