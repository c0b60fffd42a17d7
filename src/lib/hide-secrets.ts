const SECRET_KEY = /token$|secret|password|credential|^authorization$|^private_key$|^headers$/i;

/** A copy of a configuration in which the values of secrets are replaced; names of files that hold them stay. */
export function hideSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(hideSecrets);
  // RFC 3986 section 3.2.1: a URL may carry a password.
  if (typeof value === 'string') return value.replace(/\/\/[^/?#]*@/, '//hidden@');
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      typeof item === 'string' && SECRET_KEY.test(key)
        ? 'hidden'
        : key === 'headers'
          ? hideAll(item)
          : hideSecrets(item),
    ]),
  );
}

const hideAll = (value: unknown): unknown =>
  typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.keys(value).map((key) => [key, 'hidden']))
    : 'hidden';
