import { readFileSync } from 'node:fs';
import { createFileRegistry, type FileRegistry, fromBinary, toJsonString } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { Json } from '../model/json.ts';
import { parseExact } from '../values/json.ts';

/** What a gRPC payload holds: a message as JSON, nothing that can be known, or only its beginning. */
export type GrpcBody = { readonly kind: 'message'; readonly value: Json } | { readonly kind: 'unknown' | 'truncated' };

/** Reads `proto-descriptor`: a binary FileDescriptorSet, as `protoc --descriptor_set_out --include_imports` writes. */
export const readDescriptorSet = (file: string): FileRegistry =>
  createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(file)));

/**
 * The first message of a gRPC request body (5 bytes of framing, then protobuf) for `/SERVICE/METHOD`.
 * Throws when the framing or the message is broken.
 */
export function readGrpcBody(body: Uint8Array, path: readonly string[], registry: FileRegistry): GrpcBody {
  const [serviceName, methodName] = path;
  if (path.length !== 2 || serviceName === undefined) throw new Error('a gRPC path has two segments');
  if (body.byteLength < 5) throw new Error('less than 5 bytes');
  if (body[0] !== 0) return { kind: 'unknown' };
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const size = view.getUint32(1);
  if (size > body.byteLength - 5) return { kind: 'truncated' };
  const method = registry.getService(serviceName)?.methods.find((candidate) => candidate.name === methodName);
  if (method === undefined || method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming') {
    return { kind: 'unknown' };
  }
  const message = fromBinary(method.input, body.subarray(5, 5 + size));
  return { kind: 'message', value: parseExact(toJsonString(method.input, message, { registry })) };
}
