/** A path without slashes before and behind it. */
export const withoutSlashes = (path: string): string => path.replace(/^\/+|\/+$/g, '');
