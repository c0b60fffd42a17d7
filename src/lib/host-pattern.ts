/** Whether a host, in lower case, is the one of the pattern, or below the domain of `*.DOMAIN`. */
export const hostMatches = (pattern: string, host: string): boolean =>
  pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) && host.length > pattern.length - 1 : pattern === host;
