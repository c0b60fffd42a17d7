declare const digits: unique symbol;
/** A number kept as its digits, because a JavaScript number would lose some of them (made by values/json.ts). */
export interface RawNumber {
  readonly [digits]: string;
}

/** A JSON document. Objects have no prototype, so that a key such as `__proto__` is a key. */
export type Json = null | boolean | number | string | RawNumber | readonly Json[] | JsonObject;
export type JsonObject = { readonly [key: string]: Json };
export type MutableJsonObject = { [key: string]: Json };
