import type { ChildProcess } from 'node:child_process';

type Closable = { readonly close: () => void };

/**
 * Closes the connection that was on its way to a worker of Node's cluster when the worker ended. Node hands over one at a
 * time, keeps it until the worker has said that it took it, and forgets it open when the worker never does: its client
 * would wait for answers on it for ever.
 */
export function closeWhatIsNotTaken(worker: ChildProcess): void {
  let onItsWay: Closable | undefined;
  const send = worker.send as (...args: unknown[]) => boolean;
  worker.send = (...args: unknown[]): boolean => {
    const [message, handle] = args;
    if ((message as { readonly act?: unknown } | null)?.act === 'newconn') onItsWay = handle as Closable | undefined;
    return send.apply(worker, args);
  };
  // Of one that was taken this is the primary's own copy, long closed; to close it again does nothing.
  worker.once('exit', () => onItsWay?.close());
}
