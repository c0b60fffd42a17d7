import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Whether garbage collection lets go of it, sooner or later. */
export async function isLetGo(ref: WeakRef<object>): Promise<boolean> {
  for (let i = 0; i < 20 && ref.deref() !== undefined; i++) {
    // What was looked at in this turn stays until the next.
    await new Promise((resolve) => setTimeout(resolve, 10));
    collect();
  }
  return ref.deref() === undefined;
}
