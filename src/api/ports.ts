import type { ServerTls } from '../lib/tls-server.ts';
import type { Snapshot } from '../model/evaluation.ts';
import type { DecisionParts } from './decisions.ts';

/** What came of looks that somebody asked for. */
export type Polled = {
  /** Status by name, of the bundles that were looked for. */
  readonly bundles: { readonly [name: string]: object };
  /** `unavailable`: one could not be had; `refused`: one cannot serve; `pending`: it takes long. */
  readonly failure: 'unavailable' | 'refused' | 'pending' | undefined;
  readonly message: string;
};

/** What the HTTP API shows; compose.ts fills it in. */
export type ApiParts = {
  readonly pin: () => Snapshot | undefined;
  readonly isReady: () => boolean;
  readonly isDraining: () => boolean;
  readonly status: () => object;
  /** How each part is, in OPA's words; `OK` is well. */
  readonly states: () => { readonly [part: string]: { readonly state: string } };
  /** Looks for all bundles now, or for one. */
  readonly poll: (name?: string) => Promise<Polled>;
  /** File with the token of administrative calls; undefined: there is none. */
  readonly tokenFile: string | undefined;
  readonly log: { readonly error: (fields: object, message: string) => void };
  /** The configuration with its secrets hidden. */
  readonly config: () => object;
  /** Prometheus text exposition and its content type. */
  readonly metrics: { readonly contentType: string; readonly expose: () => Promise<string> };
  readonly newDecisionId: () => string;
  readonly defaultDecision: string;
  /** Undefined: decisions are not kept. */
  readonly decisions?: DecisionParts | undefined;
  /** Of the API's listener, not of the diagnostic one; undefined: without encryption. */
  readonly tls?: ServerTls | undefined;
};
