/** The signers of this cluster: what each certifies, and on what conditions (kubernetes pkg/apis/certificates helpers). */
import type { CertificateSigningRequest } from '../../../api/kubernetes/certificates.ts';
import type { IssueRequest } from '../pki.ts';
import { parseCertificateRequest, type CertificateRequest } from './request.ts';

export const apiClientSigner = 'kubernetes.io/kube-apiserver-client';

interface Signer {
  readonly usage: 'client' | 'server';
  /** Usages that may be asked for besides the two that every certificate may have; they must be. */
  readonly required: string;
  /** Why the request is not for this signer; undefined when it is. */
  fault(request: CertificateRequest): string | undefined;
}

const common = ['digital signature', 'key encipherment'];
const nodesGroup = 'system:nodes';

/** By name. Requests for any other are left to whoever signs those. */
const signers: ReadonlyMap<string, Signer> = new Map<string, Signer>([
  [apiClientSigner, { usage: 'client', required: 'client auth', fault: () => undefined }],
  [
    'kubernetes.io/kube-apiserver-client-kubelet',
    {
      usage: 'client',
      required: 'client auth',
      fault: (request) =>
        nodeFault(request) ?? (hasNames(request) ? 'subjectAltNames are not allowed' : undefined),
    },
  ],
  [
    'kubernetes.io/kubelet-serving',
    {
      usage: 'server',
      required: 'server auth',
      fault: (request) => nodeFault(request) ?? servingFault(request),
    },
  ],
]);

function nodeFault({ subject }: CertificateRequest): string | undefined {
  const [group, ...others] = subject.organizations;
  if (group !== nodesGroup || others.length > 0) return `subject organization is not ${nodesGroup}`;
  return subject.commonName.startsWith('system:node:')
    ? undefined
    : 'subject common name does not begin with system:node:';
}

function hasNames({ dnsNames, ipAddresses, emails, uris }: CertificateRequest): boolean {
  return [dnsNames, ipAddresses, emails, uris].some((names) => names.length > 0);
}

function servingFault({ dnsNames, ipAddresses, emails, uris }: CertificateRequest): string | undefined {
  if (dnsNames.length === 0 && ipAddresses.length === 0) return 'DNS or IP subjectAltName is required';
  if (emails.length > 0) return 'email subjectAltNames are not allowed';
  if (uris.length > 0) return 'URI subjectAltNames are not allowed';
  return dnsNames.every((name) => /^[A-Za-z0-9*.-]{1,253}$/.test(name))
    ? undefined
    : 'a DNS name is malformed';
}

/** A year, as kube-controller-manager's `--cluster-signing-duration`. */
const defaultSeconds = 365 * 24 * 3600;

export type SigningOutcome =
  | { readonly certificate: string }
  /** Why it will never be signed. */
  | { readonly refusal: string };

/** Signs an approved request; undefined when its signer is not one of ours. */
export function signRequest(
  spec: NonNullable<CertificateSigningRequest['spec']>,
  issue: (request: IssueRequest) => string,
  now: number,
): SigningOutcome | undefined {
  const signer = signers.get(spec.signerName);
  if (!signer) return undefined;
  const request = parseCertificateRequest(Buffer.from(spec.request, 'base64').toString('latin1'));
  if ('fault' in request) return { refusal: request.fault };
  const usages = spec.usages ?? [];
  if (
    !usages.includes(signer.required) ||
    !usages.every((name) => name === signer.required || common.includes(name))
  ) {
    return { refusal: `usages did not match expected ${signer.usage} usages` };
  }
  const fault = request.subject.commonName === '' ? 'subject common name is empty' : signer.fault(request);
  if (fault !== undefined) return { refusal: fault };
  const certificate = issue({
    subject: { commonName: request.subject.commonName, organization: request.subject.organizations },
    publicKey: request.publicKey,
    usage: signer.usage,
    keyEncipherment: usages.includes('key encipherment'),
    ...(signer.usage === 'server' ? { hosts: [...request.dnsNames, ...request.ipAddresses] } : {}),
    lifetime: (spec.expirationSeconds ?? defaultSeconds) * 1000,
    now,
  });
  return { certificate };
}
