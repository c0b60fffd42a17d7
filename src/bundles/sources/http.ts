import type { Clock } from '../../lib/clock.ts';
import { digestInTurns } from '../../lib/in-turns.ts';
import type { Answer, ServiceClient } from './service-client.ts';
import { type BundleSource, SourceError } from './source.ts';
import { createSupersededTags } from './superseded-tags.ts';

export type HttpSourceOptions = {
  /** How long the server is asked to wait for something new, ms; 0: not at all. */
  readonly longPollMs: number;
  /** How long the tags of replaced versions are sent too, ms. */
  readonly supersededTtlMs: number;
  readonly clock: Clock;
};

/** What bundles may be: https://www.openpolicyagent.org/docs/management-bundles#delta-bundles */
const MODES = 'modes=snapshot,delta';
/** By it a server says that it knows how to wait. */
const BUNDLE_TYPE = 'application/vnd.openpolicyagent.bundles';
const MAX_ETAG = 1024;

/**
 * A bundle on an HTTP server, as OPA asks for it
 * (https://www.openpolicyagent.org/docs/management-bundles#bundle-service-api): with the tag of the active version (RFC
 * 9110 section 13.1.2), and, when it may wait, with `Prefer: wait` until a bundle comes from which it is plain that the
 * server does not know about that.
 */
export function createHttpSource(client: ServiceClient, address: string, options: HttpSourceOptions): BundleSource {
  const { longPollMs, clock } = options;
  const url = new URL(address);
  const superseded = createSupersededTags(options.supersededTtlMs, clock.monotonicMs);
  let serverWaits = longPollMs > 0;

  return async (tag, signal, mayWait = false) => {
    const waits = mayWait && serverWaits;
    const active = versionOf(tag);
    const sent = active?.etag === undefined ? [] : superseded.tagsWith(active.etag);
    const answer = await client.get({
      url,
      headers: {
        'accept-encoding': 'identity',
        prefer: waits ? `${MODES};wait=${longPollMs / 1000}` : MODES,
        ...(sent.length === 0 ? {} : { 'if-none-match': sent.join(', ') }),
      },
      waitMs: waits ? longPollMs : 0,
      signal,
    });
    if (answer.status === 304) {
      // Taken at its word, a server that always says so would leave us without a policy and without an error.
      if (sent.length === 0) throw problem(url, 'the server answered 304, and was not asked for changes only', answer);
      return { kind: 'unchanged', waits };
    }
    if (answer.status !== 200) throw refusal(url, answer, clock);
    serverWaits = longPollMs > 0 && answer.headers['content-type'] === BUNDLE_TYPE;
    const found = await versionIn(answer);
    // A server that knows no conditions would otherwise have the same bundle activated with every poll. Content says it
    // as well as the tag does: some servers have one tag for everything.
    if (found.digest === active?.digest && found.etag === active.etag) return { kind: 'unchanged', waits: serverWaits };
    if (active?.etag !== undefined && found.etag !== undefined) superseded.replaced(active.etag, found.etag);
    return { kind: 'new', content: { archive: answer.body }, tag: tagOf(found), waits: serverWaits };
  };
}

/** A version: its content, and what the server calls it. */
type Version = { readonly digest: string; readonly etag: string | undefined };

const tagOf = ({ digest, etag = '' }: Version): string => `${digest} ${etag}`;

function versionOf(tag = ''): Version | undefined {
  const [, digest, etag] = /^([0-9a-f]{64}) (.*)$/s.exec(tag) ?? [];
  return digest === undefined ? undefined : { digest, etag: etag || undefined };
}

const versionIn = async ({ headers: { etag }, body }: Answer): Promise<Version> => ({
  digest: await digestInTurns(body),
  etag: typeof etag === 'string' && etag !== '' && etag.length <= MAX_ETAG ? etag : undefined,
});

const problem = (url: URL, what: string, { status }: Answer, retryAfterMs?: number): SourceError =>
  new SourceError(`GET ${url.origin}${url.pathname}: ${what}`, { status, retryAfterMs });

const hints: { readonly [status: number]: string } = {
  204: 'without a bundle',
  206: 'with a part of a bundle, which was not asked for',
  401: 'the credentials are missing, or are not accepted',
  403: 'the credentials do not allow it',
  404: 'there is no bundle',
};

function refusal(url: URL, answer: Answer, clock: Clock): SourceError {
  const { status } = answer;
  const hint = hints[status];
  const isBusy = status === 429 || status === 503;
  const text = `the server answered ${status}${hint === undefined ? '' : `: ${hint}`}`;
  return problem(url, text, answer, isBusy ? retryAfterMs(answer, clock) : undefined);
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
function retryAfterMs({ headers: { 'retry-after': text } }: Answer, clock: Clock): number | undefined {
  if (typeof text !== 'string') return undefined;
  const ms = /^[0-9]{1,9}$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - clock.wallMs();
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
