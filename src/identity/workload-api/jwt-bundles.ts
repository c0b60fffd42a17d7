import { fromBinary } from '@bufbuild/protobuf';
import type { JwtBundles } from '../jwt-svid.ts';
import { KeySetError } from '../key-set.ts';
import { type JWTBundlesResponse, JWTBundlesResponseSchema } from './gen/spiffe/workload/workload_pb.ts';
import { openStream } from './stream.ts';

export type WorkloadJwtBundles = JwtBundles & { readonly start: () => void; readonly stop: () => void };

export type JwtBundlesOptions = { readonly socket: string; readonly random: () => number };

/** How long the first answer is waited for when keys are asked for. */
const FIRST_ANSWER_MS = 5000;
/** A trust domain that the agent does not name is not trusted (SPIFFE Workload API, section 6.3). */
const NO_KEYS = '{"keys":[]}';

/** JWT bundles of trust domains as the Workload API has them; an origin fails while there is no stream. */
export function createJwtBundles({ socket, random }: JwtBundlesOptions): WorkloadJwtBundles {
  const listeners: (() => void)[] = [];
  let latest: ReadonlyMap<string, string> | undefined;
  let failure: string | undefined;
  let answered = (): void => {};
  const firstAnswer = new Promise<void>((resolve) => {
    answered = resolve;
  });
  let hangUp = (): void => {};

  const tell = (isNews: boolean): void => {
    answered();
    if (isNews) for (const listener of listeners) listener();
  };
  const take = (message: Buffer): void => {
    const next = readBundles(message);
    const isNews = failure !== undefined || !isSame(latest, next);
    latest = next;
    failure = undefined;
    tell(isNews);
  };
  const fail = (cause: string): void => {
    const isNews = failure === undefined;
    failure = cause;
    tell(isNews);
  };

  return {
    originOf: (trustDomain) => async (signal) => {
      await within(firstAnswer, FIRST_ANSWER_MS, signal);
      if (latest === undefined || failure !== undefined) {
        throw new KeySetError(`Workload API at ${socket}: ${failure ?? 'no answer'}`);
      }
      return { text: latest.get(`spiffe://${trustDomain}`) ?? NO_KEYS, freshMs: undefined };
    },
    onChange: (changed) => void listeners.push(changed),
    start: () => {
      hangUp = openStream({ socket, method: 'FetchJWTBundles', random, onMessage: take, onFailure: fail });
    },
    stop: () => hangUp(),
  };
}

function readBundles(message: Buffer): ReadonlyMap<string, string> {
  let response: JWTBundlesResponse;
  try {
    response = fromBinary(JWTBundlesResponseSchema, message);
  } catch {
    throw new Error('the message is no JWTBundlesResponse');
  }
  const bundles = Object.entries(response.bundles);
  if (bundles.length === 0) throw new Error('no bundle');
  return new Map(bundles.map(([name, bytes]) => [name, Buffer.from(bytes).toString('utf8')]));
}

const isSame = (before: ReadonlyMap<string, string> | undefined, after: ReadonlyMap<string, string>): boolean =>
  before?.size === after.size && [...after].every(([name, text]) => before.get(name) === text);

/** Resolves when the promise does, when the time is up, or when the signal says so. */
function within(promise: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
    void promise.then(done);
  });
}
