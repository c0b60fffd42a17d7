const SECRET_KEY = /token$|secret|password|passphrase|assertion$|credential|^authorization$|^private_key$|^headers$/i;
/** Any value below these may be one. */
const SECRET_SECTION = /^(?:additional_)?headers$|^additional_parameters$/;
/** RFC 3986 sections 3.2.1 and 3.4: an address may carry a password, and one that is signed its signature. */
const hideInAddress = (text: string): string =>
  text.replace(/\/\/[^/?#]*@/, '//hidden@').replace(/^(https?:[^?#]*\?)[^#]*/, '$1hidden');

/** A copy of a configuration in which the values of secrets are replaced; names of files that hold them stay. */
export function hideSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(hideSecrets);
  if (typeof value === 'string') return hideInAddress(value);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      typeof item === 'string' && SECRET_KEY.test(key)
        ? 'hidden'
        : SECRET_SECTION.test(key)
          ? hideAll(item)
          : key === 'resource' && typeof item === 'string'
            ? hideInAddress(item).replace(/\?.*/s, '?hidden')
            : hideSecrets(item),
    ]),
  );
}

const hideAll = (value: unknown): unknown =>
  typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.keys(value).map((key) => [key, 'hidden']))
    : 'hidden';
