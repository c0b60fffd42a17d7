import type { RequestMessage } from './facts.ts';

/** The input document as JSON text, in the pieces that it was made of. */
export type InputText = {
  readonly message: RequestMessage;
  /** Members that stand behind those of the message, each with a comma before it. */
  readonly derived: string;
  /** The value of the member `identity`, which is the last one. */
  readonly identity: IdentityText | undefined;
};

/** The text of a caller. There is one as long as the caller is remembered, so that what is made of it can be kept there. */
export type IdentityText = {
  readonly text: string;
  /** What the decision log makes of it. */
  redacted: unknown;
};

export const textOf = ({ message, derived, identity }: InputText): string =>
  joined(message.text, derived, identity?.text);

/** One object of the members of `message` (an object's text), of those behind them, and of `identity`. */
export function joined(message: string, derived: string, identity: string | undefined): string {
  const members = identity === undefined ? derived : `${derived},"identity":${identity}`;
  if (members === '') return message;
  return message.length > 2 ? `${message.slice(0, -1)}${members}}` : `{${members.slice(1)}}`;
}
