import type { Workload } from '../model/identity.ts';
import { workloadOf } from './spiffe.ts';

/** What one proxy says about the certificate of its client. */
export type ClientCertificate = {
  /** URI SANs of the proxy's own certificate. */
  readonly by: readonly string[];
  /** SHA-256 of the client's certificate, as the proxy spelled it. */
  readonly hash?: string;
  /** URI SANs; one that is empty is how Envoy says that there is none. */
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  readonly subject?: string;
};

const MAX_CHARS = 65_536;
const MAX_ELEMENTS = 16;
const PAIR = /([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\\ \t]*))/y;
// Obs-text and control characters have no place in any value: Envoy escapes them in a subject (RFC 2253).
const PRINTABLE = /^[\t\x20-\x7e]*$/;
const BLANK = /[\t ]*/y;

type Draft = { by: string[]; uris: string[]; dns: string[]; single: Map<string, string> };

const SINGLE = ['hash', 'cert', 'chain', 'subject'];

/**
 * The elements of an x-forwarded-client-cert header, the nearest proxy's last
 * (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert).
 * In quotes `\"` and `\\` stand for `"` and `\`; another backslash stays, as the subject's own escaping (RFC 2253).
 * Undefined when any of it is malformed, longer than 64 KiB or more than 16 elements.
 */
export function parseXfcc(header: string): readonly ClientCertificate[] | undefined {
  if (header.length > MAX_CHARS || !PRINTABLE.test(header)) return undefined;
  const elements: ClientCertificate[] = [];
  let draft = emptyDraft();
  let at = afterBlank(header, 0);
  while (elements.length < MAX_ELEMENTS) {
    PAIR.lastIndex = at;
    const match = PAIR.exec(header);
    if (match === null) return undefined;
    const [whole, key = '', quoted, plain = ''] = match;
    const value = quoted === undefined ? plain : quoted.replace(/\\(["\\])/g, '$1');
    if (!addTo(draft, key.toLowerCase(), value)) return undefined;
    at += whole.length;
    if (header[at] === ';') {
      at++;
      continue;
    }
    elements.push(certificateOf(draft));
    at = afterBlank(header, at);
    if (at === header.length) return elements;
    // A proxy that joins two headers may put a blank behind the comma (RFC 9110 section 5.3).
    if (header[at] !== ',') return undefined;
    at = afterBlank(header, at + 1);
    draft = emptyDraft();
  }
  return undefined;
}

/**
 * The workload of the last element: the one that the nearest proxy appended. Undefined unless the header is well formed
 * and this element has exactly one URI (X509-SVID specification, section 2), a SPIFFE ID in one of the trust domains.
 */
export function workloadOfXfcc(header: string, trustDomains: readonly string[]): Workload | undefined {
  const [uri, ...more] = parseXfcc(header)?.at(-1)?.uris ?? [];
  if (uri === undefined || more.length > 0) return undefined;
  return workloadOf(uri, trustDomains);
}

const emptyDraft = (): Draft => ({ by: [], uris: [], dns: [], single: new Map() });

/** False when the key is unknown, or comes twice though it has one value only. */
function addTo(draft: Draft, key: string, value: string): boolean {
  if (key === 'by') draft.by.push(value);
  else if (key === 'uri') draft.uris.push(value);
  else if (key === 'dns') draft.dns.push(value);
  else {
    if (!SINGLE.includes(key) || draft.single.has(key)) return false;
    draft.single.set(key, value);
  }
  return true;
}

function certificateOf({ by, uris, dns, single }: Draft): ClientCertificate {
  const hash = single.get('hash');
  const subject = single.get('subject');
  return { by, uris, dns, ...(hash === undefined ? {} : { hash }), ...(subject === undefined ? {} : { subject }) };
}

function afterBlank(text: string, at: number): number {
  BLANK.lastIndex = at;
  return at + (BLANK.exec(text)?.[0].length ?? 0);
}
