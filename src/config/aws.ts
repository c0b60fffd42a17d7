import Type, { type Static } from 'typebox';
import { text } from './kinds.ts';

/* Keys of AWS as OPA has them: https://www.openpolicyagent.org/docs/configuration#aws-signature */

const region = () => Type.Optional(text("Region. Without it the environment's AWS_REGION counts."));
const session = text("Name of the role's session.", { default: 'open-policy-agent' });
const domain = () => Type.Optional(text('Domain of AWS, where STS is. AWS_DOMAIN, or amazonaws.com.'));
/** Where keys of AWS come from: one of these, or the first of several that has some. */
const awsKeys = {
  environment_credentials: Type.Optional(
    Type.Object({}, { description: 'AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION.' }),
  ),
  web_identity_credentials: Type.Optional(
    Type.Object(
      {
        aws_region: region(),
        iam_role_arn: Type.Optional(text('The role. AWS_ROLE_ARN.')),
        web_identity_token_file: Type.Optional(text('File with the token. AWS_WEB_IDENTITY_TOKEN_FILE.')),
        session_name: session,
        aws_domain: domain(),
      },
      { description: 'A role, assumed by the token of a service account (EKS).' },
    ),
  ),
  profile_credentials: Type.Optional(
    Type.Object(
      {
        path: Type.Optional(text('Credentials file. AWS_SHARED_CREDENTIALS_FILE, or ~/.aws/credentials.')),
        profile: Type.Optional(text('Profile. AWS_PROFILE, or `default`.')),
        aws_region: region(),
      },
      { description: 'A profile of a credentials file, read for every request.' },
    ),
  ),
  metadata_credentials: Type.Optional(
    Type.Object(
      {
        aws_region: region(),
        iam_role: Type.Optional(text('Role of the EC2 instance. Without it a container counts.')),
      },
      { description: 'The metadata service of EC2 (version 2), or that of the container (ECS, EKS).' },
    ),
  ),
};

export const s3Signing = Type.Object(
  {
    service: Type.Optional(text('AWS service that the signature is for: `s3`, with `type: oci` only `ecr`.')),
    signature_version: Type.Literal('4', { description: 'Version of the signature.', default: '4' }),
    ...awsKeys,
    assume_role_credentials: Type.Optional(
      Type.Object(
        {
          aws_region: region(),
          iam_role_arn: Type.Optional(text('The role. AWS_ROLE_ARN.')),
          session_name: session,
          aws_domain: domain(),
          aws_signing: Type.Object(awsKeys, { description: 'Where the keys that may assume the role come from.' }),
        },
        { description: 'A role, assumed through STS.' },
      ),
    ),
    sso_credentials: Type.Optional(
      Type.Object(
        {
          path: Type.Optional(text('Configuration file. AWS_CONFIG_FILE, or ~/.aws/config.')),
          profile: Type.Optional(text('Profile. AWS_PROFILE, or `default`.')),
          aws_region: region(),
        },
        { description: 'A profile with IAM Identity Center, after `aws sso login`.' },
      ),
    ),
  },
  { description: 'AWS signature version 4, from the first of these that has keys.' },
);

export type S3SigningConfig = Static<typeof s3Signing>;
