/** What expressions of admission know of a request and its namespace (apiserver pkg/admission/plugin/cel). */
import { bool, dyn, int, listOf, mapOf, string, timestamp, type CelType } from './types.ts';

function objectOf(name: string, members: Readonly<Record<string, CelType>>): CelType {
  const fields = Object.entries(members).map(([property, type]) => [property, { property, type }] as const);
  // `namespace` is a reserved word of expressions, and behind a dot a name all the same.
  return { kind: 'object', name, fields: new Map(fields) };
}

const kindType = objectOf('kubernetes.GroupVersionKind', { group: string, version: string, kind: string });
const resourceType = objectOf('kubernetes.GroupVersionResource', {
  group: string,
  version: string,
  resource: string,
});
const userType = objectOf('kubernetes.UserInfo', {
  username: string,
  uid: string,
  groups: listOf(string),
  extra: mapOf(string, listOf(string)),
});

/** The variable `request`: an AdmissionRequest without its objects. */
export const requestType = objectOf('kubernetes.AdmissionRequest', {
  kind: kindType,
  resource: resourceType,
  subResource: string,
  requestKind: kindType,
  requestResource: resourceType,
  requestSubResource: string,
  name: string,
  namespace: string,
  operation: string,
  userInfo: userType,
  dryRun: bool,
  options: dyn,
});

const metadataType = objectOf('kubernetes.NamespaceMetadata', {
  name: string,
  generateName: string,
  namespace: string,
  labels: mapOf(string, string),
  annotations: mapOf(string, string),
  uid: string,
  creationTimestamp: timestamp,
  deletionGracePeriodSeconds: int,
  deletionTimestamp: timestamp,
  generation: int,
  resourceVersion: string,
  finalizers: listOf(string),
});
const conditionType = objectOf('kubernetes.NamespaceCondition', {
  status: string,
  type: string,
  lastTransitionTime: timestamp,
  message: string,
  reason: string,
});

/** The variable `namespaceObject`. Owners and managers are not shown. */
export const namespaceType = objectOf('kubernetes.Namespace', {
  metadata: metadataType,
  spec: objectOf('kubernetes.NamespaceSpec', { finalizers: listOf(string) }),
  status: objectOf('kubernetes.NamespaceStatus', { conditions: listOf(conditionType), phase: string }),
});
