/** Names that TLS gives to a certificate that it does not take (X509_V_ERR_… and Node's own). */
const CERTIFICATE = /CERT|SIGNATURE|ISSUER|CRL|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH/;

/** What undici says of a proxy, which has no code of its own. */
const PROXY_REFUSAL = /^Proxy response \(([0-9]{3})\)|^Proxy Authentication Required \((407)\)/;

const words: { readonly [code: string]: string } = {
  ENOTFOUND: 'the name cannot be resolved',
  EAI_AGAIN: 'the name cannot be resolved now',
  ECONNREFUSED: 'the connection is refused',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ETIMEDOUT: 'the connection timed out',
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  UND_ERR_HEADERS_TIMEOUT: 'no response headers in time',
  UND_ERR_BODY_TIMEOUT: 'the download has stalled',
  UND_ERR_HEADERS_OVERFLOW: 'the response headers are too large',
  UND_ERR_SOCKET: 'the connection was cut',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the length is not what was announced',
  UND_ERR_INVALID_ARG: 'the request cannot be sent as it is configured',
  UND_ERR_ABORTED: 'the request was given up',
  ABORT_ERR: 'the request was given up',
};

/**
 * Why a request came to nothing, with the code that systems and libraries know it by. Made from codes alone: messages of
 * libraries may hold what was sent.
 */
export function networkFailure(error: unknown): string {
  const refusal = PROXY_REFUSAL.exec(error instanceof Error ? error.message : '');
  if (refusal !== null) return `the proxy answered ${refusal[1] ?? refusal[2]}`;
  const code = codeOf(error);
  if (code === undefined) {
    return error instanceof Error && error.name === 'HTTPParserError' ? 'the answer is not HTTP' : 'the request failed';
  }
  const text =
    words[code] ??
    (code.startsWith('HPE_')
      ? 'the answer is not HTTP'
      : CERTIFICATE.test(code)
        ? 'the certificate of the server is not accepted'
        : /^ERR_(?:SSL|TLS)/.test(code)
          ? 'TLS failed'
          : 'the request failed');
  return `${text} (${code})`;
}

const MAX_DEPTH = 5;

/** The code of an error, or of what it was made from: of several attempts, the first. */
function codeOf(error: unknown, depth = 0): string | undefined {
  if (!(error instanceof Error) || depth > MAX_DEPTH) return undefined;
  const { code } = error as { readonly code?: unknown };
  const inner = error instanceof AggregateError ? (error.errors[0] as unknown) : error.cause;
  const own = typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? code : undefined;
  const innerCode = codeOf(inner, depth + 1);
  // undici's names say less than the system's behind them.
  return own === undefined || (own.startsWith('UND_') && innerCode !== undefined) ? (innerCode ?? own) : own;
}
