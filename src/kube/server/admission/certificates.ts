/**
 * Requests for certificates: who asked is written by the server, the request must be one, nobody asks for more than they
 * may be given, and approving and signing need a permission for the signer (kubernetes
 * plugin/pkg/admission/certificates).
 */
import {
  certificateSigningRequests,
  hasCondition,
  type CertificateSigningRequest,
} from '../../../api/kubernetes/certificates.ts';
import { deepEqual } from '../../../base/json.ts';
import { mastersGroup, type User } from '../authentication/user.ts';
import type { Authorizer } from '../authorization/authorizer.ts';
import { parseCertificateRequest } from '../certificates/request.ts';
import { apiClientSigner } from '../certificates/signers.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../service/admission-plugin.ts';
import { forbidden, invalid } from '../service/errors.ts';

export function certificatesPlugin(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'Certificates',
    prepare(attributes) {
      const request = requestOf(attributes);
      if (request?.spec && attributes.operation === 'CREATE') setRequester(request.spec, attributes);
    },
    validate(attributes) {
      const request = requestOf(attributes);
      if (!request) return;
      if (attributes.operation === 'CREATE') checkRequest(request, attributes);
      else checkUpdate(request, attributes, authorizer);
    },
  };
}

function requestOf({ def, object }: AdmissionAttributes): CertificateSigningRequest | undefined {
  const isOne =
    def.group === certificateSigningRequests.group && def.plural === certificateSigningRequests.plural;
  return isOne ? (object as unknown as CertificateSigningRequest | undefined) : undefined;
}

function setRequester(
  spec: NonNullable<CertificateSigningRequest['spec']>,
  { user, uid, groups, extra }: AdmissionAttributes,
): void {
  delete spec.uid;
  delete spec.groups;
  delete spec.extra;
  spec.username = user;
  if (uid !== undefined) spec.uid = uid;
  if (groups) spec.groups = [...groups];
  if (extra) {
    spec.extra = Object.fromEntries(Object.entries(extra).map(([name, values]) => [name, [...values]]));
  }
}

function checkRequest({ spec }: CertificateSigningRequest, { def, name }: AdmissionAttributes): void {
  if (!spec) return;
  const pem = Buffer.from(spec.request, 'base64').toString('latin1');
  const request = parseCertificateRequest(pem);
  if ('fault' in request) {
    const value = `${spec.request.slice(0, 32)}…`;
    throw invalid(def, name, [{ type: 'Invalid', path: 'spec.request', value, detail: request.fault }]);
  }
  if (spec.signerName === apiClientSigner && request.subject.organizations.includes(mastersGroup)) {
    throw forbidden(def, name, `use of ${apiClientSigner} signer with ${mastersGroup} group is not allowed`);
  }
}

/** The platform's own parts come without groups, and are trusted. */
function checkUpdate(
  request: CertificateSigningRequest,
  { def, name, user, groups, old, subresource }: AdmissionAttributes,
  authorizer: Authorizer,
): void {
  if (!groups || !request.spec) return;
  const before = old as CertificateSigningRequest | undefined;
  const { signerName } = request.spec;
  const decided = (type: string): boolean => hasCondition(request, type) !== hasCondition(before, type);
  if (subresource === 'approval' && (decided('Approved') || decided('Denied'))) {
    if (maySigner(authorizer, { name: user, groups }, 'approve', signerName)) return;
    throw forbidden(
      def,
      name,
      `user not permitted to approve requests with signerName ${JSON.stringify(signerName)}`,
    );
  }
  if (subresource === 'status' && !deepEqual(request.status, before?.status)) {
    if (maySigner(authorizer, { name: user, groups }, 'sign', signerName)) return;
    throw forbidden(
      def,
      name,
      `user not permitted to sign requests with signerName ${JSON.stringify(signerName)}`,
    );
  }
}

/** A permission is for one signer, or for all of a domain. */
function maySigner(authorizer: Authorizer, user: User, verb: string, signerName: string): boolean {
  const [domain = ''] = signerName.split('/');
  return [signerName, `${domain}/*`].some(
    (name) =>
      authorizer.decide(user, {
        verb,
        group: certificateSigningRequests.group,
        version: '*',
        resource: 'signers',
        subresource: '',
        namespace: '',
        name,
      }).allowed,
  );
}
