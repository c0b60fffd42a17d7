/**
 * Which parts of its input a policy may read. `true`: all of the value; otherwise of an object only the keys that are
 * named, each as far as it says (`{}`: that it is there, and of which kind). A value that is no object is always read as
 * it is. Plain JSON; keys come from the policy, so look them up with Object.hasOwn.
 */
export type Reads = true | { readonly [key: string]: Reads };
