/** A bundle cannot be used; the message is meant for whoever built it, and quotes nothing that is in it but names. */
export class BundleError extends Error {
  override readonly name = 'BundleError';
}
