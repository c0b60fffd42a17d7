import { isIPv6 } from 'node:net';

/*
 * URLs as Go's net/url reads, resolves and writes them (https://pkg.go.dev/net/url, RFC 3986).
 *
 * Parts are byte strings: one character for each byte of UTF-8, since escapes may spell any byte.
 */

/** A URL's parts as byte strings; absent ones are empty. `user` is escaped, with the password. */
export type Url = {
  readonly scheme: string;
  /** What follows the scheme of a URL such as `mailto:a@b`. */
  readonly opaque: string;
  readonly user: string | undefined;
  /** Host and port, unescaped. */
  readonly host: string;
  readonly omitHost: boolean;
  readonly path: string;
  /** The path as it was written, when its default escaping is another. */
  readonly rawPath: string;
  readonly forceQuery: boolean;
  readonly rawQuery: string;
  readonly fragment: string;
  readonly rawFragment: string;
};

/** Text is no URL. */
export class UrlError extends Error {
  override readonly name = 'UrlError';
}

type Part = 'host' | 'zone' | 'path' | 'user' | 'fragment';

/** What each part has to escape. */
const ESCAPED: { readonly [part in Part]: RegExp } = {
  host: /[^A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"]/g,
  zone: /[^A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"]/g,
  path: /[^A-Za-z0-9\-_.~$&+,/:;=@]/g,
  user: /[^A-Za-z0-9\-_.~$&+,;=]/g,
  fragment: /[^A-Za-z0-9\-_.~$&+,/:;=?@!()*]/g,
};
/** ASCII that a host cannot have, written or spelled by an escape. */
const NO_HOST = /[^A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"%\x80-\xff]/;
/** What is taken as it is written, when it spells the same. */
const ENCODED = /^[A-Za-z0-9\-_.~!$&'()*+,;=:@[\]%/]*$/;
const ENCODED_FRAGMENT = /^[A-Za-z0-9\-_.~!$&'()*+,;=:@[\]%/?]*$/;
const USER_INFO = /^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/;
const SCHEME = /^([A-Za-z][A-Za-z0-9+\-.]*):/;
const PORT = /^(?::[0-9]*)?$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
const CONTROL = /[\x00-\x1f\x7f]/;

export const toBytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
/** Bytes that are no UTF-8 become U+FFFD. */
export const fromBytes = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

const ESCAPES: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
);

const encodePart = (bytes: string, part: Part): string =>
  bytes.replace(ESCAPED[part], (byte) => ESCAPES[byte.charCodeAt(0)] ?? '');

/** Throws UrlError on a malformed escape or what a host must not have. */
function decodePart(bytes: string, part: Part): string {
  const malformed = /%(?![0-9A-Fa-f]{2})/.exec(bytes);
  if (malformed !== null) throw badEscape(bytes.slice(malformed.index, malformed.index + 3));
  const isHost = part === 'host' || part === 'zone';
  const refused = isHost ? NO_HOST.exec(bytes) : null;
  if (refused !== null) throw new UrlError(`invalid character ${JSON.stringify(refused[0])} in host name`);
  if (!bytes.includes('%')) return bytes;
  return bytes.replace(/%(..)/g, (escape_, digits: string) => {
    const code = Number.parseInt(digits, 16);
    const byte = String.fromCharCode(code);
    const isBad =
      part === 'host' ? code < 0x80 : part === 'zone' && byte !== ' ' && (code >= 0x80 || NO_HOST.test(byte));
    if (isBad && escape_ !== '%25') throw badEscape(escape_);
    return byte;
  });
}

const badEscape = (written: string): UrlError => new UrlError(`invalid URL escape ${JSON.stringify(written)}`);

function cut(text: string, separator: string): readonly [before: string, after: string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** Throws UrlError, whose message has Go's words. */
export function parseUrl(text: string): Url {
  const bytes = toBytes(text);
  const [main, fragment] = cut(bytes, '#');
  try {
    return { ...parseMain(main), fragment: decodePart(fragment, 'fragment'), rawFragment: rawOf(fragment, 'fragment') };
  } catch (error) {
    if (!(error instanceof UrlError)) throw error;
    throw new UrlError(`parse ${JSON.stringify(fromBytes(main))}: ${error.message}`);
  }
}

/** The spelling of a part, when escaping what it means spells it differently. */
const rawOf = (written: string, part: Part): string =>
  encodePart(decodePart(written, part), part) === written ? '' : written;

const EMPTY = {
  scheme: '',
  opaque: '',
  user: undefined,
  host: '',
  omitHost: false,
  path: '',
  rawPath: '',
  forceQuery: false,
  rawQuery: '',
} as const;

function parseMain(main: string): Omit<Url, 'fragment' | 'rawFragment'> {
  if (CONTROL.test(main)) throw new UrlError('net/url: invalid control character in URL');
  if (main === '*') return { ...EMPTY, path: '*' };
  if (main.startsWith(':')) throw new UrlError('missing protocol scheme');
  const scheme = (SCHEME.exec(main)?.[1] ?? '').toLowerCase();
  const afterScheme = scheme === '' ? main : main.slice(scheme.length + 1);
  const forceQuery = afterScheme.indexOf('?') === afterScheme.length - 1 && afterScheme !== '';
  const [rest, rawQuery] = cut(afterScheme, '?');
  const start = { ...EMPTY, scheme, forceQuery, rawQuery };
  if (!rest.startsWith('/')) {
    if (scheme !== '') return { ...start, opaque: rest };
    if (cut(rest, '/')[0].includes(':')) throw new UrlError('first path segment in URL cannot contain colon');
  }
  if (rest.startsWith('//') && (scheme !== '' || !rest.startsWith('///'))) {
    const slash = rest.indexOf('/', 2);
    const end = slash < 0 ? rest.length : slash;
    const path = rest.slice(end);
    return { ...start, ...parseAuthority(scheme, rest.slice(2, end)), ...pathParts(path) };
  }
  return { ...start, omitHost: scheme !== '' && rest.startsWith('/'), ...pathParts(rest) };
}

const pathParts = (written: string): Pick<Url, 'path' | 'rawPath'> => ({
  path: decodePart(written, 'path'),
  rawPath: rawOf(written, 'path'),
});

function parseAuthority(scheme: string, authority: string): Pick<Url, 'user' | 'host'> {
  const at = authority.lastIndexOf('@');
  const host = parseHost(scheme, authority.slice(at + 1));
  if (at < 0) return { user: undefined, host };
  const info = authority.slice(0, at);
  if (!USER_INFO.test(info)) throw new UrlError('net/url: invalid userinfo');
  const [name, password] = cut(info, ':').map((part) => encodePart(decodePart(part, 'user'), 'user'));
  return { user: info.includes(':') ? `${name}:${password}` : name, host };
}

function requirePort(port: string): void {
  if (!PORT.test(port)) throw new UrlError(`invalid port ${JSON.stringify(fromBytes(port))} after host`);
}

function parseHost(scheme: string, host: string): string {
  const open = host.lastIndexOf('[');
  if (open > 0) throw new UrlError('invalid IP-literal');
  if (open === 0) return parseLiteral(host);
  const colon = host.indexOf(':');
  if (colon >= 0) {
    const isStrict = scheme === 'http' || scheme === 'https';
    requirePort(host.slice(isStrict ? colon : host.lastIndexOf(':')));
  }
  return decodePart(host, 'host');
}

/** An IPv6 address in brackets, perhaps with a zone (RFC 6874), and a port. */
function parseLiteral(host: string): string {
  const close = host.lastIndexOf(']');
  if (close < 0) throw new UrlError("missing ']' in host");
  const port = host.slice(close + 1);
  requirePort(port);
  const name = host.slice(1, close);
  const zone = name.indexOf('%25');
  const plain =
    zone < 0
      ? decodePart(name, 'host')
      : decodePart(name.slice(0, zone), 'host') + decodePart(name.slice(zone), 'zone');
  const percent = plain.indexOf('%');
  const isAddress = isIPv6(percent < 0 ? plain : plain.slice(0, percent)) && percent !== plain.length - 1;
  if (!isAddress) throw new UrlError('invalid host: no IPv6 address');
  return `[${plain}]${port}`;
}

/** Host without brackets, and port. */
export function splitHostPort({ host }: Url): { readonly hostname: string; readonly port: string } {
  const colon = host.lastIndexOf(':');
  const hasPort = colon >= 0 && PORT.test(host.slice(colon));
  const name = hasPort ? host.slice(0, colon) : host;
  const hostname = name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name;
  return { hostname, port: hasPort ? host.slice(colon + 1) : '' };
}

function escapedPath({ path, rawPath }: Url): string {
  if (rawPath !== '' && ENCODED.test(rawPath)) return rawPath;
  return path === '*' ? '*' : encodePart(path, 'path');
}

function escapedFragment({ fragment, rawFragment }: Url): string {
  return rawFragment !== '' && ENCODED_FRAGMENT.test(rawFragment) ? rawFragment : encodePart(fragment, 'fragment');
}

/** Writes a URL (Go's URL.String). */
export function spellUrl(url: Url): string {
  let out = url.scheme === '' ? '' : `${url.scheme}:`;
  if (url.opaque !== '') out += url.opaque;
  else {
    const hasAuthority = url.host !== '' || url.user !== undefined;
    if (hasAuthority || (url.scheme !== '' && !url.omitHost && url.path !== '')) out += '//';
    if (url.user !== undefined) out += `${url.user}@`;
    out += encodePart(url.host, 'host');
    const path = escapedPath(url);
    if (path !== '' && !path.startsWith('/') && url.host !== '') out += '/';
    if (out === '' && cut(path, '/')[0].includes(':')) out += './';
    out += path;
  }
  if (url.forceQuery || url.rawQuery !== '') out += `?${url.rawQuery}`;
  if (url.fragment !== '') out += `#${escapedFragment(url)}`;
  return fromBytes(out);
}

/** RFC 3986, section 5.2, as Go does it. */
export function resolveUrl(base: Url, ref: Url): Url {
  const scheme = ref.scheme === '' ? base.scheme : ref.scheme;
  if (ref.scheme !== '' || ref.host !== '' || ref.user !== undefined) {
    return { ...ref, scheme, ...pathParts(resolvePath(escapedPath(ref), '')) };
  }
  if (ref.opaque !== '') return { ...ref, scheme, user: undefined, host: '', path: '' };
  const isEmpty = ref.path === '' && !ref.forceQuery && ref.rawQuery === '';
  const query = isEmpty ? base.rawQuery : ref.rawQuery;
  const { fragment, rawFragment } = isEmpty && ref.fragment === '' ? base : ref;
  const resolved = { ...ref, scheme, rawQuery: query, fragment, rawFragment };
  if (ref.path === '' && base.opaque !== '') {
    return { ...resolved, opaque: base.opaque, user: undefined, host: '', path: '' };
  }
  const path = resolvePath(escapedPath(base), escapedPath(ref));
  return { ...resolved, host: base.host, user: base.user, ...pathParts(path) };
}

function resolvePath(base: string, ref: string): string {
  const full = ref === '' ? base : ref.startsWith('/') ? ref : base.slice(0, base.lastIndexOf('/') + 1) + ref;
  if (full === '') return '';
  const kept: string[] = [];
  const segments = full.split('/');
  if (full.startsWith('/')) segments.shift();
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
  }
  const last = segments.at(-1);
  const isFolder = (last === '.' || last === '..') && kept.length > 0;
  return `/${kept.join('/')}${isFolder ? '/' : ''}`;
}
