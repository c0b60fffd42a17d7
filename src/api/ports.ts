import type { ServerTls } from '../lib/tls-server.ts';
import type { Snapshot } from '../model/evaluation.ts';
import type { DecisionParts } from './decisions.ts';

/** What the HTTP API shows; compose.ts fills it in. */
export type ApiParts = {
  readonly pin: () => Snapshot | undefined;
  readonly isReady: () => boolean;
  readonly isDraining: () => boolean;
  readonly status: () => object;
  /** The configuration with its secrets hidden. */
  readonly config: object;
  /** Prometheus text exposition and its content type. */
  readonly metrics: { readonly contentType: string; readonly expose: () => Promise<string> };
  readonly newDecisionId: () => string;
  readonly defaultDecision: string;
  /** Undefined: decisions are not kept. */
  readonly decisions?: DecisionParts | undefined;
  /** Of the API's listener, not of the diagnostic one; undefined: without encryption. */
  readonly tls?: ServerTls | undefined;
};
