/** Faults of ObjectMeta, the same for every kind (apimachinery `api/validation`). */
import type { KubeObject } from '../object.ts';
import type { AdmissionContext, Issue } from '../resource.ts';
import { dnsSubdomainFault, labelKeyFault, labelValueFault } from './names.ts';

const maxAnnotationBytes = 256 * 1024;

/** Faults of labels, as in metadata and in pod templates. */
export function labelIssues(labels: { readonly [key: string]: string } | undefined, path: string): Issue[] {
  const issues: Issue[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    const keyFault = labelKeyFault(key);
    if (keyFault) issues.push({ type: 'Invalid', path, value: key, detail: keyFault });
    const valueFault = labelValueFault(value);
    if (valueFault) issues.push({ type: 'Invalid', path, value, detail: valueFault });
  }
  return issues;
}

export function annotationIssues(
  annotations: { readonly [key: string]: string } | undefined,
  path: string,
): Issue[] {
  const issues: Issue[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    const fault = labelKeyFault(key.toLowerCase());
    if (fault) issues.push({ type: 'Invalid', path, value: key, detail: fault });
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > maxAnnotationBytes) {
    issues.push({ type: 'TooLong', path, detail: `may not be more than ${maxAnnotationBytes} bytes` });
  }
  return issues;
}

/**
 * Faults of an object's metadata. `nameFault` is the form of names of the kind (default: DNS subdomain).
 * On updates the name cannot have changed any more, so it is looked at only on creation.
 */
export function metadataIssues(
  object: KubeObject,
  context: AdmissionContext,
  nameFault: (name: string) => string | undefined = dnsSubdomainFault,
): Issue[] {
  const { name, generateName, labels, annotations, ownerReferences, finalizers } = object.metadata;
  const issues: Issue[] = [];
  if (context.operation === 'CREATE') {
    if (!name) {
      if (!generateName) {
        issues.push({ type: 'Required', path: 'metadata.name', detail: 'name or generateName is required' });
      }
    } else {
      const fault = nameFault(name);
      if (fault) issues.push({ type: 'Invalid', path: 'metadata.name', value: name, detail: fault });
    }
  }
  issues.push(
    ...labelIssues(labels, 'metadata.labels'),
    ...annotationIssues(annotations, 'metadata.annotations'),
  );
  (ownerReferences ?? []).forEach((ref, i) => {
    for (const member of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (ref[member]) continue;
      const detail = `${member === 'apiVersion' ? 'version' : member} must not be empty`;
      const path = `metadata.ownerReferences[${i}].${member}`;
      issues.push({ type: 'Invalid', path, value: ref[member] ?? '', detail });
    }
  });
  const controllers = (ownerReferences ?? []).filter((ref) => ref.controller).length;
  if (controllers > 1) {
    const detail = `Only one reference can have Controller set to true. Found "true" in ${controllers} references`;
    issues.push({ type: 'Invalid', path: 'metadata.ownerReferences', detail });
  }
  for (const finalizer of finalizers ?? []) {
    const fault = labelKeyFault(finalizer);
    if (fault) issues.push({ type: 'Invalid', path: 'metadata.finalizers', value: finalizer, detail: fault });
  }
  return issues;
}
