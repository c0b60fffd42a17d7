import { create, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { CheckResponseSchema } from '../../src/envoy/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { transportOptions } from '../../src/envoy/transport-options.ts';

/*
 * A process of its own: the gRPC server that Postern has, with the same options, which answers each Check with the same
 * bytes and looks at nothing. What it costs is the transport's.
 */

const MIB = 1_048_576;
const path = '/envoy.service.auth.v3.Authorization/Check';
const same = (value: Buffer): Buffer => value;
const allow = Buffer.from(
  toBinary(
    CheckResponseSchema,
    create(CheckResponseSchema, {
      status: {},
      httpResponse: { case: 'okResponse', value: {} },
      dynamicMetadata: { decision_id: '01985f5e-7c1a-7d3e-9a51-3f0f6f1f9a10' },
    }),
  ),
);

const server = new Server(transportOptions({ maxReceiveBytes: 4 * MIB, maxSendBytes: 4 * MIB }));
server.addService(
  {
    check: {
      ...{ path, requestStream: false, responseStream: false },
      ...{ requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same },
    },
  },
  {
    check: (_call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => reply(null, allow),
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.stdout.write(`listening on ${port}\n`);
});
