import Type, { type Static } from 'typebox';
import { count, flag, seconds, section, strict, text } from './kinds.ts';

/* `bundles` as OPA has them: https://www.openpolicyagent.org/docs/management-bundles */

export const signing = Type.Object(
  {
    keyid: Type.Optional(text('The entry of `keys` that counts. Left out: the one that the signature names.')),
    scope: Type.Optional(text("Scope that the signature must have, instead of the key's.")),
    exclude_files: Type.Array(text('A pattern.'), {
      description: 'Files that the signature need not cover, and that anyone may change: `*` and `?` stop at slashes.',
      default: [],
      maxItems: 1000,
    }),
    allow_unsigned_delta_bundles: flag('Take deltas, which cannot be signed, all the same.', false),
  },
  {
    ...strict,
    description:
      'Refuse the bundle unless it is signed, also when this is empty. Without it, `keys` verify what is signed.',
  },
);

/** How often its source is asked. */
export const polling = section({
  min_delay_seconds: seconds('Shortest delay between two polls.', 60, 0.01),
  max_delay_seconds: seconds('Longest delay between two polls.', 120, 0.01),
  long_polling_timeout_seconds: Type.Optional(
    Type.Integer({
      description:
        'Ask the server to wait this long for something new. It is asked again at once when its bundles have the type `application/vnd.openpolicyagent.bundles`.',
      minimum: 1,
      maximum: 86_400,
    }),
  ),
  superseded_etag_ttl_seconds: seconds(
    'How long the ETags of replaced versions are sent too, so that a replica that lags behind does not bring one back.',
    0,
  ),
});

export const trigger = Type.Union([Type.Literal('periodic'), Type.Literal('manual')], {
  description: '`manual`: no polling; the bundle is looked for on demand only.',
  default: 'periodic',
});

export const bundle = Type.Object({
  resource: Type.Optional(
    text(
      'Path below the service, or a whole URL of the same origin, `s3://BUCKET/KEY` or `file:///…`; with `type: oci` the image. `bundles/NAME` when left out, as OPA has it.',
    ),
  ),
  service: Type.Optional(text('Name of an entry of `services`. Optional when there is exactly one.')),
  polling,
  trigger,
  signing: Type.Optional(signing),
  persist: flag('Keep the last good version in `persistence_directory`, for a start without the server.', false),
  size_limit_bytes: count('Refuse a bundle whose unpacked content is larger.', 209_715_200, 1, 2_147_483_647),
});

export type BundleConfig = Static<typeof bundle>;
