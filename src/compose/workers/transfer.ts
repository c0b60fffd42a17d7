import type { Policy } from '../../bundles/activate.ts';
import type { Channel } from '../../lib/channel.ts';
import type { PolicyHead, WorkerFunctions } from './protocol.ts';

/** What is read and copied in a fraction of a millisecond. */
const PART_BYTES = 262_144;
/** Longest time for one of them, ms. */
const PART_MS = 30_000;

/** Sends a policy; one part at a time, so that a worker under load has as much to take in as it can. */
export async function sendPolicy(to: Channel<WorkerFunctions>, id: number, policy: Policy): Promise<void> {
  const { modules, data, revisions, digests } = policy;
  const heads = modules.map(({ wasm, ...module }) => ({ ...module, bytes: wasm.length }));
  await to.call('receive', { id, revisions, digests, modules: heads, dataBytes: data.length }, PART_MS);
  for (const bytes of [...modules.map(({ wasm }) => wasm), data]) {
    for (let at = 0; at < bytes.length; at += PART_BYTES) {
      // Not a view of the whole: that would be sent along.
      await to.call('receivePart', { id, bytes: Buffer.from(bytes.subarray(at, at + PART_BYTES)) }, PART_MS);
    }
  }
}

type Arriving = { readonly head: PolicyHead; readonly bytes: Uint8Array; filled: number };

export type Receiver = {
  readonly begin: (head: PolicyHead) => void;
  readonly add: (part: { readonly id: number; readonly bytes: Uint8Array }) => void;
  /** The policy, once. Throws when it is not all there. */
  readonly take: (id: number) => Policy;
  readonly forget: (id: number) => void;
};

/** Puts policies together again, in memory that threads can share. */
export function createReceiver(): Receiver {
  const arriving = new Map<number, Arriving>();
  const get = (id: number): Arriving => {
    const found = arriving.get(id);
    if (found === undefined) throw new Error('no policy of this number is on its way');
    return found;
  };
  return {
    begin: (head) => {
      const total = head.modules.reduce((sum, { bytes }) => sum + bytes, head.dataBytes);
      arriving.set(head.id, { head, bytes: new Uint8Array(new SharedArrayBuffer(total)), filled: 0 });
    },
    add: ({ id, bytes }) => {
      const policy = get(id);
      policy.bytes.set(bytes, policy.filled);
      policy.filled += bytes.length;
    },
    take: (id) => {
      const { head, bytes, filled } = get(id);
      arriving.delete(id);
      if (filled !== bytes.length) throw new Error('a part of the policy is missing');
      let at = 0;
      const next = (length: number): Uint8Array => {
        at += length;
        return bytes.subarray(at - length, at);
      };
      const modules = head.modules.map(({ bytes: length, ...module }) => ({ ...module, wasm: next(length) }));
      return { modules, data: next(head.dataBytes), revisions: head.revisions, digests: head.digests };
    },
    forget: (id) => void arriving.delete(id),
  };
}
