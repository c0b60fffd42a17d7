/*
 * Mailboxes as certificates name them (RFC 5280 section 4.2.1.6, RFC 2821 section 4.1.2).
 */

export type Mailbox = { readonly local: string; readonly domain: string };

/** Beside letters and digits what an unquoted local part may have, dots among it. */
const ATOM = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~.]$/;
/** What a quoted local part may have unescaped: all but NUL, tab, line ends, quotes and backslashes. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 2821 allows them
const QUOTED = /^[\x01-\x08\x0b\x0c\x0e-!#-[\]-\x7f]$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 2821 allows them
const ESCAPED = /^[\x01-\x09\x0b\x0c\x0e-\x7f]$/;

/** Undefined when the text is no mailbox. */
export function mailboxOf(text: string): Mailbox | undefined {
  const found = text.startsWith('"') ? quotedLocal(text) : atomLocal(text);
  if (found === undefined || text.charAt(found.end) !== '@') return undefined;
  const domain = text.slice(found.end + 1);
  return domain === '' || isDomain(domain) ? { local: found.local, domain } : undefined;
}

/** Labels of visible ASCII. */
const isDomain = (domain: string): boolean => domain.split('.').every((label) => /^[!-~]+$/.test(label));

type Local = { readonly local: string; readonly end: number };

function quotedLocal(text: string): Local | undefined {
  let local = '';
  for (let at = 1; at < text.length; at++) {
    let character = text.charAt(at);
    if (character === '"') return { local, end: at + 1 };
    const isEscaped = character === '\\';
    if (isEscaped) character = text.charAt(++at);
    if (!(isEscaped ? ESCAPED : QUOTED).test(character)) return undefined;
    local += character;
  }
  return undefined;
}

function atomLocal(text: string): Local | undefined {
  let local = '';
  let at = 0;
  for (; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '\\') {
      at++;
      if (at >= text.length) return undefined;
    } else if (!ATOM.test(character)) {
      break;
    }
    local += text.charAt(at);
  }
  const isDotted = local.startsWith('.') || local.endsWith('.') || local.includes('..');
  return local === '' || isDotted ? undefined : { local, end: at };
}
