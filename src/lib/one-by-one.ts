/** Runs a task when those before it have ended, whether well or not. Settles as the task does. */
export type InTurn = <T>(task: () => Promise<T>) => Promise<T>;

/** For what must not overlap. Tasks begin in the order in which they are given, none before the caller goes on. */
export function createOneByOne(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const turn = last.then(task);
    last = turn.catch(() => {});
    return turn;
  };
}
