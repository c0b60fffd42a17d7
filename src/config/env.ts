/** Replaces `${NAME}` by the environment's value, nothing when it has none (OPA, "Environment Variable Substitution"). */
export const substitute = (text: string, env: { readonly [name: string]: string | undefined }): string =>
  text.replace(/\$\{([^}]*)\}/g, (_all, name: string) => env[name] ?? '');
