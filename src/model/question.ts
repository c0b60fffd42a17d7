/** A request to ask about, in the words of HTTP, or a whole CheckRequest as protojson instead. */
export type Question = {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string | undefined;
  readonly principal: string | undefined;
  readonly checkRequest: string | undefined;
};

/** How to speak TLS to the server that is asked. */
export type ClientTls = {
  /** Authorities, PEM; undefined: those that Node trusts. */
  readonly ca: readonly string[] | undefined;
  /** What to show the server, PEM. */
  readonly certificate: { readonly cert: string; readonly key: string } | undefined;
  /** Whose certificate it must show: a host name, an address, or a SPIFFE ID. Undefined: the host that is asked. */
  readonly serverName: string | undefined;
};

/** What Envoy would do with the answer. */
export type Verdict = {
  readonly allowed: boolean;
  readonly httpStatus: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly decisionId: string;
};

/** A verdict with what only the process that decided knows. */
export type ExplainedVerdict = Verdict & {
  readonly reason?: string;
  readonly policyReasons?: readonly string[];
  readonly cause?: string;
};
