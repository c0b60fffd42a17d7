import type { Settings } from '../../cli/ports.ts';

type Env = Settings['env'];

/** Keys, region and address of AWS, files with them, programs that print them, and whose certificates count. */
const NEEDED = /^(?:AWS_\w+|HOME|PATH|NODE_EXTRA_CA_CERTS|NODE_USE_SYSTEM_CA|SSL_CERT_(?:FILE|DIR))$/;

/** What the AWS SDK looks at, and nothing else that may be in the environment. */
export const sdkEnv = (env: Env): Env => Object.fromEntries(Object.entries(env).filter(([name]) => NEEDED.test(name)));
