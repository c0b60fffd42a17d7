/** In the words of OPA's status API (https://www.openpolicyagent.org/docs/management-status). Times are RFC 3339. */
export type BundleStatus = {
  readonly name: string;
  active_revision?: string;
  last_request?: string;
  last_successful_request?: string;
  last_successful_download?: string;
  last_successful_activation?: string;
  /** Of what came last. */
  type?: 'snapshot' | 'delta';
  /** Of what came last, as it came, bytes. */
  size?: number;
  /** How long parts of the last look took, ns. */
  metrics?: { readonly [timer: string]: number };
  code?: string;
  /** What the server answered, when that was it. */
  http_code?: number;
  message?: string;
  /** Ours: the last failure, also when all is well again. */
  last_error?: { readonly time: string; readonly message: string; readonly http_code?: number };
};

export function clearError(status: BundleStatus): void {
  delete status.code;
  delete status.http_code;
  delete status.message;
}

export function setError(status: BundleStatus, time: string, message: string, httpCode: number | undefined): void {
  const http_code = httpCode === undefined ? {} : { http_code: httpCode };
  delete status.http_code;
  Object.assign(status, { code: 'bundle_error', message, ...http_code });
  status.last_error = { time, message, ...http_code };
}

/** What a time that never was is in OPA's reports. */
const NEVER = '0001-01-01T00:00:00Z';

/** With the times that OPA's reports always have. */
export const reported = (status: BundleStatus): object => ({
  ...status,
  last_request: status.last_request ?? NEVER,
  last_successful_request: status.last_successful_request ?? NEVER,
  last_successful_download: status.last_successful_download ?? NEVER,
  last_successful_activation: status.last_successful_activation ?? NEVER,
});
