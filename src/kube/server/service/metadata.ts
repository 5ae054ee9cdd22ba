/** Rules of ObjectMeta (apimachinery `api/validation`): its form, what belongs to the server, what may not change. */
import type { KubeObject, ObjectMeta } from '../../../api/object.ts';
import type { Issue, ResourceDef } from '../../../api/resource.ts';
import { annotationIssues, labelIssues } from '../../../api/kubernetes/metadata.ts';
import {
  dnsLabelFault,
  dnsSubdomainFault,
  labelKeyFault,
  pathSegmentFault,
} from '../../../api/kubernetes/names.ts';

/** Faults of an object's metadata that do not depend on an older version. Types are already known to be right. */
export function metadataIssues(def: ResourceDef, meta: ObjectMeta): Issue[] {
  const issues: Issue[] = [];
  const path = 'metadata.name';
  if (!meta.name) {
    issues.push({ type: 'Required', path, detail: 'name or generateName is required' });
  } else {
    const detail = nameFault(def, meta.name);
    if (detail) issues.push({ type: 'Invalid', path, value: meta.name, detail });
  }
  // There may be more than fit into the arguments of one call.
  for (const found of [
    labelIssues(meta.labels, 'metadata.labels'),
    annotationIssues(meta.annotations, 'metadata.annotations'),
    ownerIssues(meta),
  ]) {
    for (const issue of found) issues.push(issue);
  }
  for (const finalizer of meta.finalizers ?? []) {
    const detail = labelKeyFault(finalizer);
    if (detail) issues.push({ type: 'Invalid', path: 'metadata.finalizers', value: finalizer, detail });
  }
  return issues;
}

/** The form of an object's name: a DNS subdomain, but for the few kinds whose names become something narrower. */
function nameFault(def: ResourceDef, name: string): string | undefined {
  if (!def.builtin) return dnsSubdomainFault(name);
  if (def.group === 'rbac.authorization.k8s.io') return pathSegmentFault(name);
  if (def.group === '' && def.plural === 'namespaces') return dnsLabelFault(name);
  if (def.group === '' && def.plural === 'services') return serviceNameFault(name);
  return dnsSubdomainFault(name);
}

const serviceNameForm = '[a-z]([-a-z0-9]*[a-z0-9])?';

function serviceNameFault(name: string): string | undefined {
  if (name.length > 63) return 'must be no more than 63 bytes';
  if (new RegExp(`^${serviceNameForm}$`).test(name)) return undefined;
  return `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '${serviceNameForm}')`;
}

function ownerIssues(meta: ObjectMeta): Issue[] {
  const issues: Issue[] = [];
  const owners = meta.ownerReferences ?? [];
  for (const [i, owner] of owners.entries()) {
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (owner[field]) continue;
      const path = `metadata.ownerReferences[${i}].${field}`;
      const detail = `${field === 'apiVersion' ? 'version' : field} must not be empty`;
      issues.push({ type: 'Invalid', path, value: '', detail });
    }
  }
  const [first, second] = owners.filter((owner) => owner.controller);
  if (first && second) {
    issues.push({
      type: 'Invalid',
      path: 'metadata.ownerReferences',
      value: owners,
      detail: `Only one reference can have Controller set to true. Found "true" in references for ${first.name} and ${second.name}`,
    });
  }
  return issues;
}

/** Members of metadata that the server owns. */
const serverOwned = ['uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const;
/** Of those, what a client may not try to change; another value for the rest is passed over. */
const guarded: ReadonlySet<string> = new Set(['deletionTimestamp', 'deletionGracePeriodSeconds']);

/**
 * Carries what the server owns from the stored metadata to the new one, in place, and finds forbidden changes.
 * `managedFields` goes: the write pipeline sets it anew.
 */
export function keepServerMetadata(next: ObjectMeta, stored: ObjectMeta): Issue[] {
  const issues: Issue[] = [];
  for (const field of serverOwned) {
    const given = next[field];
    const kept = stored[field];
    const path = `metadata.${field}`;
    if (given !== undefined && given !== kept && guarded.has(field)) {
      issues.push({ type: 'Invalid', path, value: given, detail: 'field is immutable' });
    }
    if (kept === undefined) delete next[field];
    else Object.assign(next, { [field]: kept });
  }
  delete next.managedFields;
  if (stored.generation === undefined) delete next.generation;
  else next.generation = stored.generation;
  if (stored.resourceVersion !== undefined) next.resourceVersion = stored.resourceVersion;
  if (stored.deletionTimestamp !== undefined) {
    const before = new Set(stored.finalizers);
    const added = (next.finalizers ?? []).filter((finalizer) => !before.has(finalizer));
    if (added.length > 0) {
      const shown = added.map((finalizer) => JSON.stringify(finalizer)).join(', ');
      issues.push({
        type: 'Forbidden',
        path: 'metadata.finalizers',
        detail: `no new finalizers can be added if the object is being deleted, found new finalizers []string{${shown}}`,
      });
    }
  }
  return issues;
}

/** True when an update of an object that is being deleted may now remove it. */
export function nothingKeeps(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  return deletionTimestamp !== undefined && !deletionGracePeriodSeconds && !finalizers?.length;
}
