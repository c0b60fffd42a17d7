/** Where a registry says that tokens are, and for what (RFC 6750 section 3; distribution, spec/auth/token). */
export type Challenge = {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string | undefined;
};

const PARAMETER = /([A-Za-z_]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))/g;

/** The Bearer challenge among those of WWW-Authenticate; undefined when there is none that can be used. */
export function readChallenge(header: string | readonly string[] | undefined): Challenge | undefined {
  const text = typeof header === 'string' ? header : (header ?? []).join(', ');
  const [, parameters] = /(?:^|,)\s*bearer\s+(.*)$/is.exec(text) ?? [];
  if (parameters === undefined) return undefined;
  const found = new Map<string, string>();
  for (const [, name = '', quoted, plain] of parameters.matchAll(PARAMETER)) {
    const key = name.toLowerCase();
    if (!found.has(key)) found.set(key, quoted ?? plain ?? '');
  }
  const realm = URL.parse(found.get('realm') ?? '');
  return realm === null ? undefined : { realm, service: found.get('service'), scope: found.get('scope') };
}
