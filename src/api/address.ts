import { isIP } from 'node:net';

export const isUnix = (address: string): boolean => address.startsWith('unix://');

/** Whether `HOST`, `HOST:PORT` or a URL of it is reached from this machine only. A name counts when it is `localhost`. */
export function isLoopback(address: string): boolean {
  const [, bracketed, plain] =
    /^(?:https?:\/\/)?(?:\[([0-9a-fA-F:.]+)\]|([^[\]/:@]*))(?::[0-9]{1,5})?$/.exec(address) ?? [];
  const host = (bracketed ?? plain ?? '').toLowerCase();
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
