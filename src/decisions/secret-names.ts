/*
 * Which names announce a secret. Names are compared without case, separators, brackets and compatibility spellings, so
 * that `X-Api-Key`, `apiKey`, `api_key` and `paſſword` (which Go's encoding/json takes for `password`) are one name.
 */

const MAX_NAME = 256;
const MAX_REMEMBERED = 1024;

/** Names that mean a secret wherever they stand, also as the end of a longer name (`x-amz-security-token`). */
const ANYWHERE =
  /(?:token|secret|passphrase|passcode|pwd|apikey|secretkey|privatekey|accesskey|signingkey|encryptionkey|jwt|credential|signature|authorization|cookie|assertion|sessionid|sessid|codeverifier|samlresponse|cvv|cvc)s?(?:bin)?\d*$|password|passwd/;
/** Names that mean a secret in a query, a form or a body, and something harmless elsewhere. */
const AS_PARAMETER = /^(?:key|code|sig|session|auth|sid|pin|otp|totp|pass|bearer|ticket|csrf|xsrf)\d*$/;
const LAST_PART = /[[.]([^\][.]+)\]*(?:\[\d*\])?$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what is asked about
const ASCII = /^[\u0000-\u007f]*$/;

function bare(name: string): string {
  const end = name.length > MAX_NAME ? name.slice(-MAX_NAME) : name;
  const plain = ASCII.test(end) ? end : end.normalize('NFKC');
  return plain.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '');
}

/** Names repeat from request to request; a full memory is emptied, so that made-up names cannot fill it for good. */
function remembered(decide: (name: string) => boolean): (name: string) => boolean {
  const answers = new Map<string, boolean>();
  return (name) => {
    const known = answers.get(name);
    if (known !== undefined) return known;
    const answer = decide(name);
    if (answers.size >= MAX_REMEMBERED) answers.clear();
    if (name.length <= MAX_NAME) answers.set(name, answer);
    return answer;
  };
}

/** A name that means a secret in any document: claims, metadata, a policy's result. */
export const isSecretName = remembered((name) => ANYWHERE.test(bare(name)));

/** A query parameter, form field or body key whose value is a secret. The name is decoded already. */
export const isSecretParameter = remembered((name) => {
  const whole = bare(name);
  if (ANYWHERE.test(whole) || AS_PARAMETER.test(whole)) return true;
  // `user[code]` and `filter.key` name what stands last.
  const last = name.length > MAX_NAME ? null : LAST_PART.exec(name);
  return last !== null && AS_PARAMETER.test(bare(last[1] ?? ''));
});

/** A header whose value is a secret; names have no case (RFC 9110 section 5.1). */
export const isSecretHeader = remembered((name) => {
  const whole = bare(name);
  return ANYWHERE.test(whole) || AS_PARAMETER.test(whole.startsWith('x') ? whole.slice(1) : whole);
});
