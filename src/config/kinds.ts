import Type from 'typebox';

/* The kinds of options that the schema is made of. */

export const strict = { additionalProperties: false } as const;
export const text = (description: string, extra: object = {}) => Type.String({ description, minLength: 1, ...extra });
export const seconds = (description: string, fallback: number, minimum = 0) =>
  Type.Number({ description, default: fallback, minimum, maximum: 31_536_000 });
export const count = (description: string, fallback: number, minimum: number, maximum: number) =>
  Type.Integer({ description, default: fallback, minimum, maximum });
export const flag = (description: string, fallback: boolean) => Type.Boolean({ description, default: fallback });
export const nullable = (description: string) =>
  Type.Union([Type.String({ minLength: 1 }), Type.Null()], { description, default: null });
export const names = (description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { description, default: [], maxItems: 1000 });
/** A section that may be left out; then it has its defaults. */
export const section = <T extends Type.TProperties>(properties: T, extra: object = {}) =>
  Type.Object(properties, { default: {}, ...extra });
/** Of the SPIFFE Workload API. */
export const workloadApiAddress = (description: string) => text(description, { pattern: '^(?:unix:/|tcp://)' });
