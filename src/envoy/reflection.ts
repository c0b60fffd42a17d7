import { type DescFile, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { Server } from '@grpc/grpc-js';
import { file_envoy_service_auth_v3_external_auth } from './gen/envoy/service/auth/v3/external_auth_pb.ts';
import { file_grpc_health_v1_health } from './gen/grpc/health/v1/health_pb.ts';

/** Adds gRPC server reflection (grpc/doc/server-reflection.md) for what this server serves. */
export async function addReflection(server: Server): Promise<void> {
  // Loaded only where it is asked for: it is a tool for people, and off by default.
  const { ReflectionService } = await import('@grpc/reflection');
  const files = [...filesOf(file_envoy_service_auth_v3_external_auth), ...filesOf(file_grpc_health_v1_health)];
  const fileDescriptorProtos = files.map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
  // The files are all that it reads of a package definition.
  const definition = { all: { fileDescriptorProtos } } as unknown as ConstructorParameters<typeof ReflectionService>[0];
  new ReflectionService(definition).addToServer(server);
}

/** A file and all that it imports. */
const filesOf = (file: DescFile): readonly DescFile[] => [file, ...file.dependencies.flatMap(filesOf)];
