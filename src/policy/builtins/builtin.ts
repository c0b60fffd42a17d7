import type { Value } from '../../values/value.ts';

/*
 * What a built-in function is, for every engine: a plain function on values. The engine gives it a context and decides
 * what an error means.
 */

/** What a built-in may use of the world. One per evaluation. */
export type BuiltinContext = {
  /** The evaluation's time, ns since the epoch; the same throughout one evaluation. */
  readonly nowNs: bigint;
  /** `count` random bytes. */
  readonly random: (count: number) => Uint8Array;
  /** Results kept for the length of one evaluation, such as `rand.intn` of one key. Keys start with the built-in's name. */
  readonly memo: Map<string, Value>;
  /** Results that outlive an evaluation, bounded; for what depends on nothing but its key. Keys start with the built-in's name. */
  readonly cache: BuiltinCache;
  /** Throws HaltError when the evaluation's time is up; to be called in loops whose length an argument decides. */
  readonly checkDeadline: () => void;
  /** Tells of work ahead that nothing will interrupt, ms. Throws HaltError when it is to be done where it delays nobody. */
  readonly expectWork: (ms: number) => void;
  /** What `opa.runtime` answers. */
  readonly runtime: Value;
  /** Where `print` and `trace` go. */
  readonly print: (message: string) => void;
  /** The network, for `outside`. Throws HaltError in an evaluation that cannot wait, BuiltinError when there is none. */
  readonly network: () => Network;
  /**
   * What `ask` answers, asked once per evaluation. When it has to be waited for, the evaluation stops here and is done
   * again with the answer. Throws what `ask` throws or rejects with, HaltError in an evaluation that cannot wait.
   */
  readonly outside: (key: string, ask: () => Answer | Promise<Answer>) => Answer;
};

/** Undefined: the call is undefined. */
export type Answer = Value | undefined;

/** What built-ins may ask of the network. */
export type Network = {
  /** `nowNs` decides what a cached response is still good for. Rejects with NetworkError, BuiltinError. */
  readonly send: (request: HttpRequest, nowNs: bigint) => Promise<HttpResponse>;
  /** Addresses of a host. Rejects with BuiltinError. */
  readonly lookup: (host: string) => Promise<readonly string[]>;
};

export type Header = readonly [name: string, value: string];

export type HttpRequest = {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly Header[];
  readonly body: string | undefined;
  readonly followRedirects: boolean;
  readonly timeoutMs: number;
  /** Further attempts after one that got no response. */
  readonly retries: number;
  readonly tls: TlsOptions;
  /** How long a response may be used again: never, as its headers say, or for so many seconds. */
  readonly reuse: 'never' | 'by headers' | number;
  /** Headers that do not tell one cached response from another, in lower case. */
  readonly ignoredHeaders: readonly string[];
};

/** PEM text, or where it is. */
export type PemSource = { readonly text: string } | { readonly file: string } | { readonly variable: string };

export type TlsOptions = {
  readonly authorities: readonly PemSource[];
  readonly certificate: PemSource | undefined;
  readonly key: PemSource | undefined;
  readonly serverName: string | undefined;
  readonly useSystemAuthorities: boolean;
  readonly skipVerification: boolean;
};

export type HttpResponse = {
  readonly status: number;
  /** Of the status line, such as `OK`. */
  readonly statusText: string;
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
};

/** A request got no response. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError';
}

export type BuiltinCache = {
  readonly get: (key: string) => unknown;
  readonly set: (key: string, value: unknown) => void;
};

export type Builtin = {
  /** OPA's name, such as `io.jwt.decode`. */
  readonly name: string;
  readonly arity: number;
  /** Whether it shows numbers as they were written: they may come as SpelledNumbers. */
  readonly keepsSpelling?: boolean;
  /** Undefined when the call is undefined. Throws BuiltinError, HaltError. */
  readonly run: (ctx: BuiltinContext, ...args: readonly Value[]) => Value | undefined;
};

/** OPA's codes of errors that make a call undefined. */
export type BuiltinErrorCode = 'eval_type_error' | 'eval_builtin_error';

/** A built-in cannot answer: undefined, or fatal with strict errors. */
export class BuiltinError extends Error {
  override readonly name = 'BuiltinError';
  readonly code: BuiltinErrorCode;
  constructor(message: string, code: BuiltinErrorCode = 'eval_builtin_error') {
    super(message);
    this.code = code;
  }
}

export type HaltCode = 'eval_cancel_error' | 'eval_limit_error' | 'eval_builtin_error';

/** The evaluation must not go on: time is up, a result would be too large, an error that OPA lets nobody catch. */
export class HaltError extends Error {
  override readonly name = 'HaltError';
  readonly code: HaltCode;
  constructor(code: HaltCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The most UTF-16 units that a built-in may put together, and the most members. */
export const MAX_RESULT_CHARS = 16 * 1_048_576;
export const MAX_RESULT_MEMBERS = 1_000_000;

/** Throws HaltError when a result would have more than `MAX_RESULT_CHARS`. */
export function checkChars(chars: number): void {
  if (chars > MAX_RESULT_CHARS) throw new HaltError('eval_limit_error', `more than ${MAX_RESULT_CHARS} characters`);
}

/** Throws HaltError when a result would have more than `MAX_RESULT_MEMBERS`. */
export function checkMembers(members: number): void {
  if (members > MAX_RESULT_MEMBERS) throw new HaltError('eval_limit_error', `more than ${MAX_RESULT_MEMBERS} members`);
}
