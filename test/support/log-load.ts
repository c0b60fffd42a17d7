import { fromBinary } from '@bufbuild/protobuf';
import { CheckResponseSchema } from '../../src/envoy/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { type CheckClient, checkClient } from './grpc.ts';

export type Answered = {
  /** Of the response's dynamic metadata. */
  readonly decisionId: string;
  /** google.rpc.Code. */
  readonly code: number;
  /** When it came, monotonic, ms. */
  readonly atMs: number;
  readonly tookMs: number;
};

export type Load = {
  readonly answers: readonly Answered[];
  /** Resolves when nothing is under way any more. */
  readonly end: () => Promise<void>;
};

/** Asks again and again, `lanes` questions at once, on a few connections; what is not answered does not count. */
export function startLoad(address: string, requests: readonly Uint8Array[], lanes: number): Load {
  const answers: Answered[] = [];
  const clients = Array.from({ length: Math.min(lanes, 4) }, () => checkClient(address));
  let isOver = false;
  let next = 0;
  const lane = async (client: CheckClient): Promise<void> => {
    while (!isOver) {
      const startedMs = performance.now();
      const reply = await client.send(requests[next++ % requests.length] ?? new Uint8Array());
      if ('grpcError' in reply) return;
      const atMs = performance.now();
      answers.push({ ...readAnswer(reply.response), atMs, tookMs: atMs - startedMs });
    }
  };
  const running = Promise.all(
    Array.from({ length: lanes }, (_, i) => lane(clients[i % clients.length] as CheckClient)),
  );
  return {
    answers,
    end: async () => {
      isOver = true;
      await running;
      for (const client of clients) client.close();
    },
  };
}

export function readAnswer(response: Uint8Array): Pick<Answered, 'decisionId' | 'code'> {
  const { status, dynamicMetadata } = fromBinary(CheckResponseSchema, response);
  return { decisionId: String(dynamicMetadata?.['decision_id']), code: status?.code ?? 0 };
}
