import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, fromBinary, fromJsonString, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, status } from '@grpc/grpc-js';
import type { ClientTls, Question, Verdict } from '../model/question.ts';
import { clientCredentials } from './client-tls.ts';
import {
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
} from './gen/envoy/service/auth/v3/external_auth_pb.ts';

const CHECK = '/envoy.service.auth.v3.Authorization/Check';
const TIMEOUT_MS = 5000;

/** CheckRequest bytes, as Envoy would send them. Throws when the JSON is no CheckRequest. */
export function requestBytes(question: Question): Buffer {
  const message =
    question.checkRequest === undefined
      ? create(CheckRequestSchema, fromHttp(question))
      : fromJsonString(CheckRequestSchema, question.checkRequest);
  return Buffer.from(toBinary(CheckRequestSchema, message));
}

function fromHttp({ method, url, headers, body, principal }: Question): MessageInitShape<typeof CheckRequestSchema> {
  // Not URL: it would tidy up the very paths that one wants to ask about.
  const match = /^(https?):\/\/([^/?#]+)([\s\S]*)$/.exec(url);
  if (match === null) throw new Error(`${url}: an http or https URL is expected`);
  const [, scheme = '', host = '', rest = ''] = match;
  const path = rest.startsWith('/') ? rest : `/${rest}`;
  const map: { [name: string]: string } = { ':method': method, ':path': path, ':authority': host, ':scheme': scheme };
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    map[key] = map[key] === undefined ? value : `${map[key]},${value}`;
  }
  if (body !== undefined) map['content-length'] ??= String(Buffer.byteLength(body));
  return {
    attributes: {
      ...(principal === undefined ? {} : { source: { principal } }),
      request: { http: { method, host, path, scheme, protocol: 'HTTP/1.1', headers: map, body: body ?? '' } },
    },
  };
}

/** What Envoy does with CheckResponse bytes. */
export function readVerdict(bytes: Uint8Array): Verdict {
  const response = fromBinary(CheckResponseSchema, bytes);
  const { httpResponse } = response;
  const allowed = (response.status?.code ?? 0) === 0;
  const answer = httpResponse.case === 'deniedResponse' ? httpResponse.value : undefined;
  const changed = httpResponse.value?.headers ?? [];
  return {
    allowed,
    httpStatus: allowed ? 200 : (answer?.status?.code ?? 403),
    headers: changed.map(({ header }) => [header?.key ?? '', header?.value ?? ''] as const),
    body: answer?.body ?? '',
    decisionId: decisionIdOf(response),
  };
}

function decisionIdOf({ dynamicMetadata }: CheckResponse): string {
  const id = dynamicMetadata?.['decision_id'];
  return typeof id === 'string' ? id : '';
}

/** Asks an ext_authz server. Rejects when it cannot be reached or answers a gRPC error. */
export async function askServer(address: string, question: Question, tls: ClientTls | undefined): Promise<Verdict> {
  const request = requestBytes(question);
  const target = address.replace(/^grpc:\/\//, '').replace(/^unix:\/\//, 'unix:');
  const secure = tls === undefined ? undefined : clientCredentials(tls, hostOf(target));
  const client = new Client(target, secure?.channel ?? credentials.createInsecure());
  try {
    const deadline = Date.now() + TIMEOUT_MS;
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      client.makeUnaryRequest<Buffer, Buffer>(
        CHECK,
        (value) => value,
        (value) => value,
        request,
        { deadline },
        (error, value) => (error === null && value !== undefined ? resolve(value) : reject(error)),
      );
    });
    return readVerdict(bytes);
  } catch (error) {
    const isConnection = (error as { readonly code?: unknown }).code === status.UNAVAILABLE;
    const failure = isConnection ? secure?.failure() : undefined;
    throw failure === undefined ? error : new Error(`${address}: no TLS connection: ${failure}`);
  } finally {
    client.close();
  }
}

/** A socket of this machine has no host; certificates for one call it localhost. */
const hostOf = (target: string): string =>
  target.startsWith('unix:') ? 'localhost' : target.replace(/:[0-9]*\/?$/, '').replace(/^\[(.*)\]$/, '$1');
