const unitMs: { readonly [unit: string]: number } = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000001,
};

/**
 * A `grpc-timeout` header in ms (gRPC over HTTP/2, "Timeout": at most eight digits and a unit); undefined when it is
 * none.
 */
export function grpcTimeoutMs(header: string): number | undefined {
  const match = /^([0-9]{1,8})([HMSmun])$/.exec(header);
  return match === null ? undefined : Number(match[1]) * (unitMs[match[2] ?? ''] ?? 0);
}
