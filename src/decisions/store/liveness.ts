import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

export type Liveness = 'alive' | 'gone' | 'unknown';

/**
 * Whether the process that holds a token still runs, by `TOKEN.alive` in the folder: JSON with its `pid`, and with
 * `start_ticks` (field 22 of /proc/PID/stat, proc(5)) and `boot_id`, which tell it from a later process of the same number.
 */
export async function livenessOf(folder: string, token: string): Promise<Liveness> {
  const text = await readText(join(folder, `${token}.alive`));
  if (text === undefined) return 'unknown';
  const { pid, start_ticks: startTicks, boot_id: bootId } = claimsOf(text);
  if (!Number.isSafeInteger(pid)) return 'unknown';
  // Without /proc nothing can be said against it.
  if ((await readText('/proc/self/stat')) === undefined) return 'alive';
  const boot = await readText('/proc/sys/kernel/random/boot_id');
  if (boot !== undefined && typeof bootId === 'string' && boot.trim() !== bootId) return 'gone';
  const stat = await readText(`/proc/${pid}/stat`);
  if (stat === undefined) return 'gone';
  return startTicks === undefined || startTicks === startOf(stat) ? 'alive' : 'gone';
}

/** Removes what processes that have gone say of themselves, once their last segment is sealed. */
export async function removeMarkers(folder: string): Promise<void> {
  const entries = await readdir(folder);
  for (const entry of entries) {
    const token = /^([0-9a-f]{8})\.alive$/.exec(entry)?.[1];
    if (token === undefined || entries.some((other) => other.endsWith('.open') && other.includes(`-${token}-`)))
      continue;
    if ((await livenessOf(folder, token)) === 'gone') await rm(join(folder, entry), { force: true });
  }
}

/** The name of a program may have spaces and parentheses itself. */
const startOf = (stat: string): number => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);

type Claims = { readonly pid?: unknown; readonly start_ticks?: unknown; readonly boot_id?: unknown };

function claimsOf(text: string): Claims {
  try {
    return { ...(JSON.parse(text) as Claims) };
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
