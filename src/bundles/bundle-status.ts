/** In the words of OPA's status API (https://www.openpolicyagent.org/docs/management-status). Times are RFC 3339. */
export type BundleStatus = {
  readonly name: string;
  active_revision?: string;
  last_request?: string;
  last_successful_request?: string;
  last_successful_download?: string;
  last_successful_activation?: string;
  code?: string;
  /** What the server answered, when that was it. */
  http_code?: number;
  message?: string;
};

export function clearError(status: BundleStatus): void {
  delete status.code;
  delete status.http_code;
  delete status.message;
}
