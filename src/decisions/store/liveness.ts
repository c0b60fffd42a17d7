import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export type Liveness = 'alive' | 'gone' | 'unknown';

/**
 * Whether the process that holds a token still runs, by `TOKEN.alive` in the folder: JSON with its `pid`, and in
 * `started` the 22nd field of /proc/PID/stat, which tells it from a later process of the same number (proc(5)).
 */
export async function livenessOf(folder: string, token: string): Promise<Liveness> {
  const text = await readText(join(folder, `${token}.alive`));
  if (text === undefined) return 'unknown';
  const { pid, started } = claimsOf(text);
  if (pid === undefined) return 'unknown';
  if ((await readText('/proc/self/stat')) === undefined) return 'alive';
  const stat = await readText(`/proc/${pid}/stat`);
  if (stat === undefined) return 'gone';
  return started === undefined || started === startOf(stat) ? 'alive' : 'gone';
}

/** The name of a program may have spaces and parentheses itself. */
export const startOf = (stat: string): string => stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';

function claimsOf(text: string): { readonly pid?: number; readonly started?: string } {
  try {
    const { pid, started } = JSON.parse(text) as { readonly pid?: unknown; readonly started?: unknown };
    return {
      ...(Number.isSafeInteger(pid) ? { pid: Number(pid) } : {}),
      ...(typeof started === 'string' || typeof started === 'number' ? { started: String(started) } : {}),
    };
  } catch {
    return {};
  }
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return undefined;
  }
}
