import { messageOf } from '../lib/message.ts';
import type { Io } from './ports.ts';

/** A command ran, and it failed (exit code 1). Whatever else is thrown has kept it from running as asked (2). */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
}

/** The exit code of a command; what it rejects with is written to standard error. */
export async function exitCodeOf(io: Io, command: () => Promise<number>): Promise<number> {
  try {
    return await command();
  } catch (error) {
    for (const line of messageOf(error).split('\n')) io.stderr.write(`postern: ${line}\n`);
    return error instanceof CommandFailed ? 1 : 2;
  }
}
