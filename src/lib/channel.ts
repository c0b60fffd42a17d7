import { messageOf } from './message.ts';

/** Messages to one other process, as the platform offers them. */
export type Pipe = {
  /** Throws, or tells false, when the other side is gone. */
  readonly send: (message: unknown) => boolean;
  readonly onMessage: (listener: (message: unknown) => void) => void;
  readonly onClose: (listener: () => void) => void;
};

/** What one side can be asked: a function per name, of one argument. */
export type Handlers = { readonly [name: string]: (argument: never) => unknown };

type ArgumentOf<F> = F extends (argument: infer A) => unknown ? A : never;
type ResultOf<F> = F extends (argument: never) => infer R ? Awaited<R> : never;

/** Asks the functions of the other side. */
export type Channel<Theirs extends Handlers> = {
  /** Rejects with what the other side threw, when it goes away first, or when there is no answer within `ms`. */
  readonly call: <Name extends keyof Theirs & string>(
    name: Name,
    argument: ArgumentOf<Theirs[Name]>,
    ms?: number,
  ) => Promise<ResultOf<Theirs[Name]>>;
};

type Call = { readonly call: number; readonly name: string; readonly argument: unknown };
type Message =
  | Call
  | { readonly answer: number; readonly result: unknown }
  | { readonly answer: number; readonly problem: string };

type Waiting = { readonly resolve: (result: never) => void; readonly reject: (error: Error) => void };

/** Connects two sides that call each other's functions; both are ours, so that messages are trusted. */
export function createChannel<Theirs extends Handlers>(pipe: Pipe, ours: Handlers): Channel<Theirs> {
  const waiting = new Map<number, Waiting>();
  const isGone = (): Error => new Error('the other process is gone');
  let last = 0;
  let closed = false;

  async function answer({ call, name, argument }: Call): Promise<void> {
    try {
      const handler = Object.hasOwn(ours, name) ? ours[name] : undefined;
      if (handler === undefined) throw new Error(`${name}: no such function`);
      send({ answer: call, result: await handler(argument as never) });
    } catch (error) {
      send({ answer: call, problem: messageOf(error) });
    }
  }

  function send(message: Message): boolean {
    try {
      return !closed && pipe.send(message);
    } catch {
      return false;
    }
  }

  pipe.onMessage((received) => {
    const message = received as Message;
    if ('call' in message) {
      void answer(message);
      return;
    }
    const caller = waiting.get(message.answer);
    waiting.delete(message.answer);
    if ('problem' in message) caller?.reject(new Error(message.problem));
    else caller?.resolve(message.result as never);
  });
  pipe.onClose(() => {
    closed = true;
    for (const { reject } of waiting.values()) reject(isGone());
    waiting.clear();
  });

  return {
    call: (name, argument, ms) =>
      new Promise((resolve, reject) => {
        if (closed) {
          reject(isGone());
          return;
        }
        const call = ++last;
        const late = (): void => {
          waiting.delete(call);
          reject(new Error(`${name}: no answer within ${ms} ms`));
        };
        const timer = ms === undefined ? undefined : setTimeout(late, ms);
        waiting.set(call, {
          resolve: (result) => {
            clearTimeout(timer);
            resolve(result);
          },
          reject: (error) => {
            clearTimeout(timer);
            reject(error);
          },
        });
        send({ call, name, argument });
      }),
  };
}
