/** Requests for certificates (kubernetes pkg/apis/certificates). */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { AdmissionContext, Issue } from '../resource.ts';
import { ageColumn, ageOf, column, formatAge } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';

export type CertificateSigningRequest = KubernetesObject<'certificates.v1.CertificateSigningRequest'>;
type Condition = KubernetesTypes['certificates.v1.CertificateSigningRequestCondition'];

/** The shortest certificate that may be asked for, seconds. */
const minExpirationSeconds = 600;

/** `k8s.io/api/certificates/v1` KeyUsage. */
export const keyUsages: readonly string[] = [
  'any',
  'cert sign',
  'client auth',
  'code signing',
  'content commitment',
  'crl sign',
  'data encipherment',
  'decipher only',
  'digital signature',
  'email protection',
  'encipher only',
  'ipsec end system',
  'ipsec tunnel',
  'ipsec user',
  'key agreement',
  'key encipherment',
  'microsoft sgc',
  'netscape sgc',
  'ocsp signing',
  's/mime',
  'server auth',
  'signing',
  'timestamping',
];

export const certificateSigningRequests = kubernetesResource('certificates.v1.CertificateSigningRequest', {
  group: 'certificates.k8s.io',
  plural: 'certificatesigningrequests',
  shortNames: ['csr'],
  namespaced: false,
  subresources: { status: true, approval: true },
  tracksGeneration: false,
  columns: [
    ageColumn,
    column('SignerName'),
    column('Requestor'),
    column('RequestedDuration'),
    column('Condition'),
  ],
  cells(request, now) {
    const { signerName, username = '', expirationSeconds } = request.spec ?? {};
    const duration = expirationSeconds === undefined ? '<none>' : formatAge(expirationSeconds * 1000);
    return [ageOf(request, now), signerName ?? '', username, duration, conditionCell(request)];
  },
  mutate(request, context) {
    const old = oldOf(request, context);
    // What was asked for stands; a change is dropped without a word, as everywhere.
    if (old) request.spec = structuredClone(old.spec);
    for (const condition of request.status?.conditions ?? []) {
      condition.status ??= 'True';
      complete(condition, old?.status?.conditions, context.now);
    }
  },
  issues: (request, context) => [...specIssues(request), ...conditionIssues(request, context)],
});

/** Whether a condition of the type holds. */
export function hasCondition(request: CertificateSigningRequest | undefined, type: string): boolean {
  return (request?.status?.conditions ?? []).some(
    (condition) => condition.type === type && condition.status === 'True',
  );
}

function conditionCell(request: CertificateSigningRequest): string {
  const words: string[] = [];
  if (hasCondition(request, 'Approved')) words.push('Approved');
  else if (hasCondition(request, 'Denied')) words.push('Denied');
  else words.push('Pending');
  if (hasCondition(request, 'Failed')) words.push('Failed');
  if (request.status?.certificate) words.push('Issued');
  return words.join(',');
}

function complete(condition: Condition, before: readonly Condition[] | undefined, now: number): void {
  const time = `${new Date(now).toISOString().slice(0, 19)}Z`;
  const same = before?.find(({ type, status }) => type === condition.type && status === condition.status);
  condition.lastUpdateTime ??= same?.lastUpdateTime ?? time;
  condition.lastTransitionTime ??= same?.lastTransitionTime ?? time;
}

function specIssues({ spec }: CertificateSigningRequest): Issue[] {
  if (!spec) return [];
  const issues: Issue[] = [];
  const { signerName, usages = [], expirationSeconds } = spec;
  if (!signerName) {
    issues.push({ type: 'Required', path: 'spec.signerName', detail: '' });
  } else if (!/^[a-z0-9.-]+\.[a-z0-9.-]+\/[^/\s].*$/.test(signerName) || signerName.length > 571) {
    const detail = 'must be a fully qualified domain and path of the form "example.com/signer-name"';
    issues.push({ type: 'Invalid', path: 'spec.signerName', value: signerName, detail });
  }
  if (usages.length === 0) issues.push({ type: 'Required', path: 'spec.usages', detail: '' });
  for (const [i, usage] of usages.entries()) {
    const path = `spec.usages[${i}]`;
    if (!keyUsages.includes(usage)) {
      const names = keyUsages.map((name) => JSON.stringify(name)).join(', ');
      issues.push({ type: 'NotSupported', path, value: usage, detail: `supported values: ${names}` });
    } else if (usages.indexOf(usage) < i) {
      issues.push({ type: 'Duplicate', path, value: usage, detail: '' });
    }
  }
  if (expirationSeconds !== undefined && expirationSeconds < minExpirationSeconds) {
    const detail = 'may not specify a duration less than 600 seconds (10 minutes)';
    issues.push({ type: 'Invalid', path: 'spec.expirationSeconds', value: expirationSeconds, detail });
  }
  return issues;
}

/** Approval and denial are for good, exclude each other, and are given through `approval` alone. */
function conditionIssues(request: CertificateSigningRequest, context: AdmissionContext): Issue[] {
  const issues: Issue[] = [];
  const path = 'status.conditions';
  const conditions = request.status?.conditions ?? [];
  const refuse = (detail: string): void => void issues.push({ type: 'Forbidden', path, detail });
  for (const [i, condition] of conditions.entries()) {
    const at = `${path}[${i}]`;
    if (!condition.type) issues.push({ type: 'Required', path: `${at}.type`, detail: '' });
    else if (final.includes(condition.type) && condition.status !== 'True') {
      const detail = 'supported values: "True"';
      issues.push({ type: 'NotSupported', path: `${at}.status`, value: condition.status, detail });
    }
    if (conditions.findIndex(({ type }) => type === condition.type) < i) {
      issues.push({ type: 'Duplicate', path: `${at}.type`, value: condition.type, detail: '' });
    }
  }
  if (hasCondition(request, 'Approved') && hasCondition(request, 'Denied')) {
    const detail = 'Approved and Denied conditions are mutually exclusive';
    issues.push({ type: 'Invalid', path, value: 'Denied', detail });
  }
  const old = oldOf(request, context);
  for (const type of final) {
    if (old && hasCondition(old, type) && !hasCondition(request, type)) {
      refuse(`updates may not remove a condition of type ${JSON.stringify(type)}`);
    }
  }
  if (context.subresource === 'status') {
    for (const type of ['Approved', 'Denied']) {
      if (hasCondition(request, type) && !hasCondition(old, type)) {
        refuse(`updates may not add a condition of type ${JSON.stringify(type)}`);
      }
    }
  }
  return issues;
}

const final = ['Approved', 'Denied', 'Failed'];
