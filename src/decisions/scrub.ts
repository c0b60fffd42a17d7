import { isSecretName, isSecretParameter } from './secret-names.ts';

/** Stands where a secret was. */
export const REDACTED = '**REDACTED**';
/** Stands where something was that is too large to be looked through. */
export const TRUNCATED = '**TRUNCATED**';
/** Longer texts are replaced as a whole, characters: cutting one could leave the recognisable half of a secret out. */
export const MAX_TEXT = 16_384;

const MAX_ENCODINGS = 3;
const MAX_PARAMETER_NAME = 256;
/** A text with more parameters, or JSON with more keys, is not looked through to its end. */
const MAX_NAMES = 256;
const MIN_NAME = 3;

/** Only a text that has one of these can hold something that is looked for below. */
const SUSPICIOUS = /[=%"@]|ey[AJ]|ew[0ko]|(?:bearer|basic|dpop|negotiate|apikey|token)[\s+]/i;
/**
 * The same for text inside JSON text, where what is escaped has a backslash; with a memory of where it was. What follows a
 * scheme is looked for first, as there is less of it.
 */
export const SUSPICIOUS_IN_JSON = /[=%@\\]|ey[AJ]|ew[0ko]|(?<=bearer|basic|dpop|negotiate|apikey|token)[\s+]/gi;
const TOKEN_RUN = /[A-Za-z0-9_.=-]{16,}/g;
/** How base64url of a JOSE header starts when whitespace stands after its brace. */
const SPACED_HEADER = /^(?:eyA|ewo|ew0|ewk)/;
/** RFC 9110 section 11.4: a scheme and its credentials. */
const CREDENTIALS = /\b(bearer|basic|dpop|negotiate|apikey|token)([\s+]+)([^\s,;"'&]{8,})/gi;
const NOT_A_WORD = /[0-9=~+/]/;
/** RFC 3986 section 3.2.1: `user:password@`. */
const USER_INFO = /(\/\/[^\s/?#@:]{0,256}):[^\s/?#@]{1,1024}@/g;
const NAME_END = /[=?;#&\s,"'/]/;
const ATOM = /([?&;#=/,\s])/;
const JSON_KEY = /"([^"]{1,128})"\s*:/g;

/**
 * The text without what looks like a secret: JWTs, credentials behind an authentication scheme, the values of
 * secret-named parameters (also percent-encoded ones, up to three times), passwords in URLs, JSON with secret keys, and
 * each of the `secrets` that are known already, longest first.
 */
export function scrub(text: string, secrets: readonly string[] = []): string {
  return scrubDeep(text, secrets, 0);
}

let lastTarget = { text: '', clean: '' };

/** The same for a request target, where a parameter inside the path ends with its segment. */
export function scrubTarget(text: string, secrets: readonly string[] = []): string {
  if (secrets.length > 0) return scrubPathAndQuery(text, secrets);
  // A request has its target in a pseudo-header as well, and a decision beside its input.
  if (lastTarget.text !== text) lastTarget = { text, clean: scrubPathAndQuery(text, secrets) };
  return lastTarget.clean;
}

function scrubPathAndQuery(text: string, secrets: readonly string[]): string {
  const cut = text.indexOf('?');
  const path = cut < 0 ? text : text.slice(0, cut);
  const clean = scrubPath(path, secrets);
  return cut < 0 ? clean : clean + scrub(text.slice(cut), secrets);
}

function scrubPath(path: string, secrets: readonly string[]): string {
  if (path.length > MAX_TEXT) return TRUNCATED;
  if (secrets.length === 0 && !SUSPICIOUS.test(path)) return path;
  return withoutPassword(path)
    .split('/')
    .map((segment) => scrub(segment, secrets))
    .join('/');
}

/** The same for base64 of a text; its encoding is kept. */
export function scrubBase64(text: string, secrets: readonly string[] = []): string {
  if (text.length > MAX_TEXT) return TRUNCATED;
  const decoded = Buffer.from(text, 'base64').toString('latin1');
  const clean = scrub(decoded, secrets);
  return clean === decoded ? scrub(text, secrets) : Buffer.from(clean, 'latin1').toString('base64');
}

function scrubDeep(text: string, secrets: readonly string[], encodings: number): string {
  if (text.length > MAX_TEXT) return TRUNCATED;
  let clean = text;
  for (const secret of secrets) if (clean.includes(secret)) clean = clean.replaceAll(secret, REDACTED);
  if (!SUSPICIOUS.test(clean)) return clean;
  if (hasSecretJson(clean)) return REDACTED;
  clean = clean
    .replace(TOKEN_RUN, withoutJwt)
    .replace(CREDENTIALS, (all, scheme: string, space: string, rest: string) =>
      NOT_A_WORD.test(rest) ? `${scheme}${space}${REDACTED}` : all,
    );
  clean = withoutPassword(clean);
  if (clean.includes('=')) clean = withoutSecretValues(clean);
  if (clean.includes('%') && encodings < MAX_ENCODINGS) clean = withoutEncodedSecrets(clean, secrets, encodings);
  return clean;
}

const withoutPassword = (text: string): string =>
  text.includes('@') ? text.replace(USER_INFO, `$1:${REDACTED}@`) : text;

/** RFC 7519: base64url parts and dots. A cut or unsigned one goes too. */
function withoutJwt(run: string): string {
  const at = run.indexOf('eyJ');
  if (at >= 0 && run.indexOf('.', at + 8) > 0) return run.slice(0, at) + REDACTED;
  return SPACED_HEADER.test(run) && run.split('.', 4).length >= 3 ? REDACTED : run;
}

function withoutSecretValues(text: string): string {
  let clean = '';
  let done = 0;
  let names = 0;
  for (let equals = text.indexOf('='); equals >= 0; equals = text.indexOf('=', Math.max(done, equals + 1))) {
    const name = nameBefore(text, equals);
    if (name.length < MIN_NAME) continue;
    if (++names > MAX_NAMES) return TRUNCATED;
    if (!isSecretParameter(name)) continue;
    // Some readers take `;` and `#` for the end of a value, others for a part of it: up to the next `&` all goes.
    const end = text.indexOf('&', equals);
    clean += text.slice(done, equals + 1) + REDACTED;
    done = end < 0 ? text.length : end;
  }
  return clean + text.slice(done);
}

function nameBefore(text: string, equals: number): string {
  let end = equals;
  while (end > 0 && /[\s+]/.test(text[end - 1] ?? '')) end--;
  let start = end;
  while (start > 0 && end - start < MAX_PARAMETER_NAME && !NAME_END.test(text[start - 1] ?? '')) start--;
  const name = text.slice(start, end);
  if (!name.includes('%')) return name;
  let decoded = name;
  for (let i = 0; i < MAX_ENCODINGS && decoded.includes('%'); i++) decoded = decodeLoosely(decoded);
  return decoded.trimEnd().split(NAME_END).at(-1) ?? '';
}

function withoutEncodedSecrets(text: string, secrets: readonly string[], encodings: number): string {
  return text
    .split(ATOM)
    .map((atom) => {
      if (!atom.includes('%')) return atom;
      const decoded = decodeLoosely(atom);
      if (decoded === atom) return atom;
      const clean = scrubDeep(decoded, secrets, encodings + 1);
      return clean === decoded ? atom : encodeURIComponent(clean.toWellFormed());
    })
    .join('');
}

function decodeLoosely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text.replace(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  }
}

function hasSecretJson(text: string): boolean {
  if (!text.includes('"') || !text.includes(':')) return false;
  const plain = text
    .replace(/\\u00([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replaceAll('\\', '');
  let names = 0;
  for (const match of plain.matchAll(JSON_KEY)) {
    if (++names > MAX_NAMES || isSecretName(match[1] ?? '')) return true;
  }
  return false;
}
