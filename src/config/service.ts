import Type, { type Static } from 'typebox';
import { s3Signing } from './aws.ts';
import { flag, names, seconds, strict, text } from './kinds.ts';

/* `services` as OPA has them: https://www.openpolicyagent.org/docs/configuration#services */

const headersOf = (description: string) => Type.Record(Type.String(), Type.String(), { description, default: {} });

const bearer = Type.Object(
  {
    token: Type.Optional(text('The token itself.')),
    token_path: Type.Optional(text('A file that holds the token; read for every request.')),
    scheme: text('The word before the token.', { default: 'Bearer' }),
  },
  strict,
);

const clientTls = Type.Object(
  {
    cert: text('PEM file with the client certificate, and after it the intermediate ones.'),
    private_key: text('PEM file with its private key.'),
    private_key_passphrase: Type.Optional(text('Passphrase of the private key.')),
    cert_reread_interval_seconds: seconds('How long the files are not looked at again. 0: for every request.', 0),
    ca_cert: Type.Optional(text('The older place of `tls.ca_cert`, which goes before it.')),
    system_ca_required: flag('The older place of `tls.system_ca_required`.', false),
  },
  strict,
);

const oauth2 = Type.Object(
  {
    token_url: text('The token endpoint.', { pattern: '^https://' }),
    grant_type: Type.Union([Type.Literal('client_credentials'), Type.Literal('jwt_bearer')], {
      description: 'How a token is asked for (RFC 6749 section 4.4, RFC 7523 section 2.1).',
      default: 'client_credentials',
    }),
    client_id: Type.Optional(text('Name of the client.')),
    client_secret: Type.Optional(text('Secret of the client, sent as RFC 6749 section 2.3.1 has it.')),
    signing_key: Type.Optional(text('The entry of `keys` whose private key signs assertions (RFC 7523).')),
    thumbprint: Type.Optional(
      text('SHA-1 of the certificate, hexadecimal; becomes `x5t` of assertions.', { pattern: '^(?:[0-9a-fA-F]{2})+$' }),
    ),
    additional_claims: Type.Record(Type.String(), Type.Unknown(), {
      description: 'Further claims of assertions, such as `iss`, `sub` and `aud`.',
      default: {},
    }),
    include_jti_claim: flag('Whether each assertion has an identifier of its own, `jti`.', false),
    client_assertion: Type.Optional(text('A ready-made assertion.')),
    client_assertion_path: Type.Optional(text('A file that holds one; read for every token.')),
    client_assertion_type: text('What `client_assertion` is.', {
      default: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    }),
    scopes: names('Scopes that are asked for.'),
    additional_headers: headersOf('Further headers of the request for a token.'),
    additional_parameters: headersOf('Further parameters of the request for a token.'),
  },
  strict,
);

export const service = Type.Object({
  type: Type.Optional(
    Type.Union([Type.Literal('oci'), Type.Literal('rest')], {
      description: '`oci`: the service is an OCI registry, and bundles are images in it.',
    }),
  ),
  url: text('Base URL of the service.', { pattern: '^https?://' }),
  headers: headersOf('Headers sent with each request.'),
  response_header_timeout_seconds: seconds('How long to wait for the response headers.', 10, 0.001),
  allow_insecure_tls: flag(
    "Do not verify the server's certificate: whoever is in between can then replace the policy.",
    false,
  ),
  tls: Type.Optional(
    Type.Object(
      {
        ca_cert: Type.Optional(text("PEM file with the authorities that are trusted instead of the system's.")),
        system_ca_required: flag("Trust the system's authorities as well.", false),
      },
      strict,
    ),
  ),
  credentials: Type.Optional(
    Type.Object(
      {
        bearer: Type.Optional(bearer),
        client_tls: Type.Optional(clientTls),
        oauth2: Type.Optional(oauth2),
        s3_signing: Type.Optional(s3Signing),
      },
      { description: 'How Postern identifies itself to the service; one of these.' },
    ),
  ),
});

/** https://www.openpolicyagent.org/docs/configuration#keys */
export const key = Type.Object(
  {
    key: Type.Optional(text('The public key, or a certificate with it, in PEM; verifies bundles.')),
    private_key: Type.Optional(text('PEM of a private key, or the secret of an HS algorithm; signs assertions.')),
    algorithm: text(
      'RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA; to sign, also HS256, HS384 and HS512.',
      { default: 'RS256' },
    ),
    scope: Type.String({ description: 'Scope that its signatures must have.', default: '' }),
  },
  strict,
);

export type ServiceConfig = Static<typeof service>;
export type KeyConfig = Static<typeof key>;
export type SigningKeyConfig = Pick<KeyConfig, 'private_key' | 'algorithm'>;
type Services = { readonly [name: string]: ServiceConfig };
type Keys = { readonly [name: string]: KeyConfig };

const proofs = ['client_secret', 'signing_key', 'client_assertion', 'client_assertion_path'] as const;
/** OPA's, which are not here: refused by name, since a request without them is another request. */
const foreignProofs = ['aws_kms', 'aws_signing', 'azure_keyvault', 'azure_signing'];

type Tree = { readonly [key: string]: unknown };
const treeOf = (value: unknown): Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Tree) : {};

/** Kinds of credentials, and keys of theirs, that OPA has and Postern does not. */
export function unknownCredentials(services: unknown): readonly string[] {
  const known = Object.keys(service.properties.credentials.properties);
  return Object.entries(treeOf(services)).flatMap(([name, each]) => {
    const credentials = treeOf(treeOf(each)['credentials']);
    const path = `services.${name}.credentials`;
    return [
      ...Object.keys(credentials)
        .filter((kind) => !known.includes(kind))
        .map((kind) => `${path}.${kind}: not supported; supported are ${known.join(', ')}`),
      ...foreignProofs
        .filter((proof) => proof in treeOf(credentials['oauth2']))
        .map((proof) => `${path}.oauth2.${proof}: not supported; supported are ${proofs.join(', ')}`),
    ];
  });
}

/** What no single option of a service can be blamed for. */
export function serviceContradictions(services: Services, keys: Keys): readonly string[] {
  return Object.entries(services).flatMap(([name, { credentials = {} }]) => {
    const path = `services.${name}.credentials`;
    const kinds = Object.entries(credentials).filter(([, kind]) => kind !== undefined);
    const { bearer: token, oauth2: grant } = credentials;
    return [
      ...(kinds.length > 1 ? [`${path}: one of ${kinds.map(([kind]) => kind).join(', ')}, not several`] : []),
      ...(token !== undefined && (token.token === undefined) === (token.token_path === undefined)
        ? [`${path}.bearer: exactly one of token and token_path is needed`]
        : []),
      ...(grant === undefined ? [] : grantContradictions(grant, keys).map((problem) => `${path}.oauth2${problem}`)),
    ];
  });
}

function grantContradictions(grant: Static<typeof oauth2>, keys: Keys): readonly string[] {
  const problems: string[] = [];
  const given = proofs.filter((proof) => grant[proof] !== undefined);
  const { grant_type: type, signing_key: key, client_id: id } = grant;
  if (type === 'client_credentials') {
    if (given.length !== 1) problems.push(`: exactly one of ${proofs.join(', ')} is needed`);
    else if (id === undefined && key === undefined) problems.push('.client_id: needed');
  } else if (key === undefined) problems.push('.signing_key: needed for jwt_bearer');
  if (key !== undefined && keys[key] === undefined) problems.push(`.signing_key: no key is called ${key}`);
  else if (key !== undefined && keys[key]?.private_key === undefined) {
    problems.push(`.signing_key: the key ${key} has no private_key`);
  }
  return problems;
}

/** What is allowed and should not be. */
export function serviceWarnings(services: Services): readonly string[] {
  return Object.entries(services).flatMap(([name, { url, allow_insecure_tls: insecure, credentials, tls }]) => [
    ...(insecure
      ? [
          `services.${name}.allow_insecure_tls: its certificate is NOT verified; whoever is in between can replace policy`,
        ]
      : []),
    ...(url.startsWith('http:') && (credentials?.bearer ?? credentials?.oauth2) !== undefined
      ? [`services.${name}.url: credentials are sent without encryption`]
      : []),
    ...(url.startsWith('http:') && credentials?.client_tls !== undefined
      ? [`services.${name}.url: the client certificate is of no use without https`]
      : []),
    ...(tls === undefined && credentials?.client_tls?.ca_cert !== undefined
      ? [`services.${name}.credentials.client_tls.ca_cert: services.${name}.tls.ca_cert is its place now`]
      : []),
  ]);
}
