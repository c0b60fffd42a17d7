/** First in, first out; what was taken is no longer referred to. */
export type Fifo<T> = {
  readonly size: () => number;
  readonly add: (item: T) => void;
  readonly take: () => T | undefined;
  /** What `take` would give. */
  readonly first: () => T | undefined;
  readonly clear: () => void;
};

export function createFifo<T>(): Fifo<T> {
  let incoming: T[] = [];
  let outgoing: T[] = [];
  const turn = (): void => {
    if (outgoing.length > 0) return;
    outgoing = incoming.reverse();
    incoming = [];
  };
  return {
    size: () => incoming.length + outgoing.length,
    add: (item) => {
      incoming.push(item);
    },
    take: () => {
      turn();
      return outgoing.pop();
    },
    first: () => {
      turn();
      return outgoing.at(-1);
    },
    clear: () => {
      incoming = [];
      outgoing = [];
    },
  };
}
