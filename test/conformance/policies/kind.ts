import type { Random } from './random.ts';

/** What a kind makes: the rules without the package line, its data (at data.d.<name>), requests it is made for. */
export type Draft = {
  readonly rego: string;
  readonly data?: unknown;
  /** A function refers to another rule: `opa build` refuses such a package as an entrypoint (function used as reference). */
  readonly wrapped?: boolean;
  /** Strings `#12.50` stand for the number with exactly these digits. */
  readonly inputs: readonly unknown[];
};

/** A kind of policy; each call makes another one. `D` in the rules stands for the policy's data. */
export type Kind = (random: Random) => Draft;

export type Kinds = { readonly [name: string]: Kind };

/** A number with these digits in data and inputs, whether JavaScript can hold it or not. */
export const digits = (text: string): string => `#${text}`;

/** JSON text, with numbers made by `digits`. */
export const jsonText = (value: unknown): string =>
  (JSON.stringify(value) ?? 'null').replaceAll(/"#(-?\d[^"]*)"/g, '$1');

export const USERS = ['ann', 'bob', 'cyd', 'dörte', '王', 'eve@example.com'] as const;
export const ROLES = ['admin', 'editor', 'auditor', 'viewer', 'billing', 'support'] as const;
export const ACTIONS = ['read', 'write', 'delete', 'approve', 'list', 'export'] as const;
export const RESOURCES = ['invoice', 'report', 'account', 'ticket', 'secret'] as const;
