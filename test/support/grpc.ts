import { create, createRegistry, fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { CheckRequestSchema, CheckResponseSchema } from '../../src/envoy/gen/envoy/service/auth/v3/external_auth_pb.ts';

const CHECK = '/envoy.service.auth.v3.Authorization/Check';
const same = (value: Buffer): Buffer => value;

export type Reply = { readonly response: Buffer } | { readonly grpcError: number; readonly details: string };

export type CheckClient = {
  /** Sends any bytes to Check. */
  readonly send: (request: Uint8Array, metadata?: { readonly deadline?: number }) => Promise<Reply>;
  readonly close: () => void;
};

export function checkClient(address: string): CheckClient {
  // Clients of one address would share a connection.
  const options = { 'grpc.use_local_subchannel_pool': 1 };
  const client = new Client(address.replace('unix://', 'unix:'), credentials.createInsecure(), options);
  return {
    send: (request, call = {}) =>
      new Promise((resolve) => {
        const done = (error: ServiceError | null, value?: Buffer): void =>
          resolve(
            error === null && value !== undefined
              ? { response: value }
              : { grpcError: error?.code ?? -1, details: error?.details ?? '' },
          );
        client.makeUnaryRequest(CHECK, same, same, Buffer.from(request), call, done);
      }),
    close: () => client.close(),
  };
}

/** CheckRequest bytes from protojson. */
export const encodeRequest = (json: unknown): Uint8Array =>
  toBinary(
    CheckRequestSchema,
    fromJson(CheckRequestSchema, json as JsonValue, { registry: createRegistry(StringValueSchema) }),
  );

/** A small HTTP request as CheckRequest bytes. */
export const httpRequest = (http: {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string;
}): Uint8Array =>
  toBinary(
    CheckRequestSchema,
    create(CheckRequestSchema, {
      attributes: {
        request: {
          http: { method: 'GET', path: '/', host: 'api.test', scheme: 'http', protocol: 'HTTP/1.1', ...http },
        },
      },
    }),
  );

export type JsonObject = { [key: string]: JsonValue };

/** CheckResponse bytes as JSON in protojson's spelling, with enums as numbers and without the decision's id. */
export function readResponse(bytes: Uint8Array): JsonObject {
  const json = toJson(CheckResponseSchema, fromBinary(CheckResponseSchema, bytes), {
    enumAsInteger: true,
    alwaysEmitImplicit: false,
  }) as JsonObject;
  const metadata = json['dynamicMetadata'] as JsonObject | undefined;
  if (metadata !== undefined) delete metadata['decision_id'];
  return json;
}
