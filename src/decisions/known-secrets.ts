import { MAX_TEXT } from './scrub.ts';

/** Shorter ones would be found in innocent texts. */
const MIN_SECRET = 6;
const MAX_PAIRS = 32;
const MAX_VALUES = 64;
const MAX_KNOWN = 512;

/** Remembers the secrets of one request, so that a policy that repeats one in its result does not give it away. */
export type KnownSecrets = {
  /** A secret, and the secrets that it consists of: credentials behind a scheme, cookies, parts of a JWT. */
  readonly learn: (value: string) => void;
  /** A text that is secret only as a whole, such as a raw body. */
  readonly learnWhole: (value: string) => void;
  /** Every spelling of every secret that was learned, longest first. */
  readonly spellings: () => readonly string[];
};

/** Where nobody asks for them. */
export const unasked: KnownSecrets = { learn: () => {}, learnWhole: () => {}, spellings: () => [] };

export function createKnownSecrets(): KnownSecrets {
  const values: string[] = [];
  const wholes: string[] = [];
  const keep = (list: string[], value: string): void => {
    if (list.length < MAX_VALUES && value.length >= MIN_SECRET && value.length <= MAX_TEXT) list.push(value);
  };
  return {
    learn: (value) => keep(values, value),
    learnWhole: (value) => keep(wholes, value),
    spellings: () => spellingsOf(values, wholes),
  };
}

function spellingsOf(values: readonly string[], wholes: readonly string[]): readonly string[] {
  const known = new Set<string>();

  function add(secret: string): void {
    if (secret.length < MIN_SECRET || secret.length > MAX_TEXT || known.size >= MAX_KNOWN) return;
    known.add(secret);
    known.add(secret.toLowerCase());
    known.add(encodeURIComponent(secret.toWellFormed()));
    const bytes = Buffer.from(secret);
    known.add(bytes.toString('base64'));
    known.add(bytes.toString('base64url'));
  }

  function addWithParts(value: string): void {
    add(value);
    const decoded = percentDecoded(value);
    if (decoded !== value) add(decoded);
    // RFC 9110 section 11.4: credentials stand behind their scheme.
    const [, scheme, credentials] = /^\s*([A-Za-z][\w-]*)\s+(\S.*)$/s.exec(decoded) ?? [];
    if (credentials !== undefined) add(credentials.trimEnd());
    // The parts of a JWT behind its header (RFC 7515 section 3.1), which a policy may have taken apart.
    if (/eyJ/.test(decoded)) for (const part of decoded.split('.', 5).slice(1)) add(part);
    if (scheme?.toLowerCase() === 'basic' && credentials !== undefined) addBasic(credentials);
    // RFC 6265 section 4.2.1: a cookie header is a list of pairs.
    if (!decoded.includes('=')) return;
    for (const pair of decoded.split(/[;,&]\s*/, MAX_PAIRS)) {
      const equals = pair.indexOf('=');
      if (equals > 0) add(pair.slice(equals + 1).replace(/^"|"$/g, ''));
    }
  }

  /** RFC 7617 section 2: base64 of user, colon, password. */
  function addBasic(credentials: string): void {
    const pair = Buffer.from(credentials, 'base64').toString();
    add(pair);
    add(pair.slice(pair.indexOf(':') + 1));
  }

  for (const value of values) addWithParts(value);
  for (const whole of wholes) add(whole);
  return [...known].sort((a, b) => b.length - a.length);
}

function percentDecoded(value: string): string {
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
