/* Prints docs/config.md, made from the schema. `sh scripts/node scripts/config-docs.ts > docs/config.md` */
import { configDocs } from '../test/support/config-docs.ts';

process.stdout.write(configDocs());
