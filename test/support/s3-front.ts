import { request } from 'node:http';
import type { Scope } from './scope.ts';
import { serve } from './web.ts';

export type S3Front = {
  readonly endpoint: string;
  /** Requests so far. */
  readonly asked: () => number;
  /** `cut`: it is done, but nobody is told; `hang`: nothing happens; a number: the answer, instead. */
  fault: 'cut' | 'hang' | number | undefined;
};

/** Stands before an S3 server, and can be told to fail. */
export async function startS3Front(scope: Scope, endpoint: string): Promise<S3Front> {
  let asked = 0;
  const url = await serve(scope, (incoming, response) => {
    asked++;
    const { fault } = front;
    if (fault === 'hang') return;
    if (typeof fault === 'number') return void response.writeHead(fault).end();
    const { method, headers } = incoming;
    const onward = request(new URL(incoming.url ?? '', endpoint), { ...(method && { method }), headers });
    onward.on('response', (answer) => {
      if (fault === 'cut') return void answer.resume().on('end', () => response.destroy());
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    incoming.pipe(onward);
  });
  const front: S3Front = { endpoint: url, asked: () => asked, fault: undefined };
  return front;
}
