/** OpenID Connect discovery: lets others check the tokens of service accounts by themselves. */
import { serviceAccountIssuer, type ServiceAccountTokens } from './tokens.ts';

export interface IssuerDocument {
  readonly contentType: string;
  readonly body: Buffer;
}

const keySetPath = '/openid/v1/jwks';

/** By path. */
export function makeIssuerDocuments(tokens: ServiceAccountTokens): ReadonlyMap<string, IssuerDocument> {
  const configuration = {
    issuer: serviceAccountIssuer,
    jwks_uri: `${serviceAccountIssuer}${keySetPath}`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
  };
  const document = (contentType: string, value: object): IssuerDocument => ({
    contentType,
    body: Buffer.from(JSON.stringify(value)),
  });
  return new Map([
    ['/.well-known/openid-configuration', document('application/json', configuration)],
    [keySetPath, document('application/jwk-set+json', tokens.keySet())],
  ]);
}
