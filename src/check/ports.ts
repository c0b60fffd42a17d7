import type { Identity } from '../model/identity.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { RefusalReason } from '../model/reasons.ts';
import type { Json } from '../values/json.ts';
import type { DecisionRecord } from './record.ts';

/** What identity answers: who is calling, or why the caller is turned away. `undefined`: identity is not configured. */
export type IdentityResult =
  | { readonly ok: true; readonly identity: Identity | undefined }
  | { readonly ok: false; readonly reason: RefusalReason; readonly cause: string };

export type Identify = (facts: RequestFacts) => IdentityResult | Promise<IdentityResult>;

export type Evaluation =
  | { readonly ok: true; readonly results: readonly Json[] }
  | {
      readonly ok: false;
      readonly reason: 'evaluation_error' | 'evaluation_trap' | 'out_of_memory' | 'decision_undefined';
      readonly cause: string;
    };

/** One immutable (policy, data, revision). A request pins it at its start and uses nothing else. */
export type Snapshot = {
  readonly revisions: { readonly [bundle: string]: string };
  /** Entrypoint of the ext_authz decision. */
  readonly entrypoint: string;
  /** `input` is UTF-8 JSON text. Never throws. */
  readonly evaluate: (entrypoint: string, input: string) => Evaluation;
};

export type PinSnapshot = () => Snapshot | undefined;

export type RecordDecision = (record: DecisionRecord) => void;
