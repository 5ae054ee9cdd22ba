/** Resources of the core group that hold configuration and identity. */
import { deepEqual } from '../../base/json.ts';
import type { Issue } from '../resource.ts';
import { configMapFault } from '../serving/config/index.ts';
import { systemNamespace } from '../serving/labels.ts';
import { ageColumn, ageOf, column, containerCells, integerColumn } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { configKeyFault } from './names.ts';
import { defaultPodTemplate } from './pod-defaults.ts';
import { podTemplateIssues } from './pod-validation.ts';
import { formatLabels } from './selectors.ts';

export type Namespace = KubernetesObject<'core.v1.Namespace'>;
export type ConfigMap = KubernetesObject<'core.v1.ConfigMap'>;
export type Secret = KubernetesObject<'core.v1.Secret'>;
export type ServiceAccount = KubernetesObject<'core.v1.ServiceAccount'>;
export type PodTemplate = KubernetesObject<'core.v1.PodTemplate'>;

/** The finalizer in `spec.finalizers` of a namespace: removed when its contents are gone. */
export const namespaceFinalizer = 'kubernetes';

export const namespaces = kubernetesResource('core.v1.Namespace', {
  plural: 'namespaces',
  shortNames: ['ns'],
  namespaced: false,
  subresources: { status: true },
  tracksGeneration: false,
  columns: [column('Status'), ageColumn],
  cells: (namespace, now) => [namespace.status?.phase ?? 'Active', ageOf(namespace, now)],
  mutate(namespace, context) {
    const { metadata } = namespace;
    metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name };
    if (context.operation === 'CREATE') {
      const finalizers = namespace.spec?.finalizers ?? [];
      namespace.spec = { finalizers: [...new Set([...finalizers, namespaceFinalizer])] };
      namespace.status = { phase: 'Active' };
    }
  },
});

const maxDataBytes = 1024 * 1024;

function keyIssues(data: { readonly [key: string]: string } | undefined, path: string): Issue[] {
  const issues: Issue[] = [];
  for (const key of Object.keys(data ?? {})) {
    const detail = configKeyFault(key);
    if (detail) issues.push({ type: 'Invalid', path: `${path}[${key}]`, value: key, detail });
  }
  return issues;
}

function immutableIssues(
  old: ConfigMap | Secret | undefined,
  next: ConfigMap | Secret,
  members: string[],
): Issue[] {
  if (!old?.immutable) return [];
  const detail = 'field is immutable when `immutable` is set';
  const before = old as unknown as Record<string, unknown>;
  const after = next as unknown as Record<string, unknown>;
  return ['immutable', ...members]
    .filter((member) => !deepEqual(before[member], after[member]))
    .map((path) => ({ type: 'Forbidden', path, detail }));
}

/** Base64 as Go's decoder takes it: padded, no line breaks inside what counts. */
function isBase64(text: string): boolean {
  const compact = text.replace(/[\r\n]/g, '');
  return compact.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(compact);
}

function base64Issues(data: { readonly [key: string]: string } | undefined, path: string): Issue[] {
  return Object.entries(data ?? {})
    .filter(([, text]) => !isBase64(text))
    .map(([key, text]) => ({
      type: 'Invalid',
      path: `${path}[${key}]`,
      value: text.length > 32 ? `${text.slice(0, 32)}…` : text,
      detail: 'illegal base64 data',
    }));
}

function tooLong(bytes: number, path: string): Issue[] {
  return bytes > maxDataBytes
    ? [{ type: 'TooLong', path, detail: `may not be more than ${maxDataBytes} bytes` }]
    : [];
}

export const configMaps = kubernetesResource('core.v1.ConfigMap', {
  plural: 'configmaps',
  shortNames: ['cm'],
  tracksGeneration: false,
  columns: [integerColumn('Data'), ageColumn],
  cells: (map, now) => [
    Object.keys(map.data ?? {}).length + Object.keys(map.binaryData ?? {}).length,
    ageOf(map, now),
  ],
  issues(map, context) {
    let bytes = 0;
    for (const text of Object.values(map.data ?? {})) bytes += Buffer.byteLength(text);
    for (const text of Object.values(map.binaryData ?? {})) bytes += (text.length * 3) / 4;
    const twice = Object.keys(map.binaryData ?? {}).filter((key) => map.data?.[key] !== undefined);
    return [
      ...keyIssues(map.data, 'data'),
      ...keyIssues(map.binaryData, 'binaryData'),
      ...base64Issues(map.binaryData, 'binaryData'),
      ...twice.map((key): Issue => ({
        type: 'Invalid',
        path: `data[${key}]`,
        value: key,
        detail: 'duplicate of key present in binaryData',
      })),
      // Kubernetes writes the object as a whole this way.
      ...tooLong(bytes, '[]'),
      ...immutableIssues(oldOf(map, context), map, ['data', 'binaryData']),
      ...settingsIssues(map),
    ];
  },
});

/** Knative's own settings are refused where Knative would not take them, as its ConfigMap webhook does. */
function settingsIssues({ metadata, data }: ConfigMap): Issue[] {
  if (metadata.namespace !== systemNamespace) return [];
  const detail = configMapFault(
    metadata.name,
    data ?? {},
    metadata.annotations?.['knative.dev/example-checksum'],
  );
  return detail === undefined ? [] : [{ type: 'Forbidden', path: 'data', detail }];
}

/** Keys that a secret of a type must have. */
const secretKeys: Record<string, readonly string[]> = {
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
};

export const secrets = kubernetesResource('core.v1.Secret', {
  plural: 'secrets',
  tracksGeneration: false,
  columns: [column('Type'), integerColumn('Data'), ageColumn],
  cells: (secret, now) => [
    secret.type ?? 'Opaque',
    Object.keys(secret.data ?? {}).length,
    ageOf(secret, now),
  ],
  mutate(secret) {
    secret.type ??= 'Opaque';
    if (secret.stringData) {
      const encoded = Object.entries(secret.stringData).map(([key, text]) => [
        key,
        Buffer.from(text).toString('base64'),
      ]);
      secret.data = { ...secret.data, ...(Object.fromEntries(encoded) as { [key: string]: string }) };
      delete secret.stringData;
    }
  },
  issues(secret, context) {
    const old = oldOf(secret, context);
    const issues: Issue[] = [
      ...keyIssues(secret.data, 'data'),
      ...base64Issues(secret.data, 'data'),
      ...tooLong(
        Object.values(secret.data ?? {}).reduce((sum, text) => sum + (text.length * 3) / 4, 0),
        'data',
      ),
      ...immutableIssues(old, secret, ['data']),
    ];
    if (old && old.type !== secret.type) {
      issues.push({ type: 'Invalid', path: 'type', value: secret.type, detail: 'field is immutable' });
    }
    if (secret.type === 'kubernetes.io/service-account-token') {
      const annotation = 'kubernetes.io/service-account.name';
      if (!secret.metadata.annotations?.[annotation])
        issues.push({ type: 'Required', path: `metadata.annotations[${annotation}]`, detail: '' });
    }
    for (const key of secretKeys[secret.type ?? ''] ?? []) {
      if (secret.data?.[key] === undefined)
        issues.push({ type: 'Required', path: `data[${key}]`, detail: '' });
    }
    return issues;
  },
});

export const serviceAccounts = kubernetesResource('core.v1.ServiceAccount', {
  plural: 'serviceaccounts',
  shortNames: ['sa'],
  tracksGeneration: false,
  columns: [integerColumn('Secrets'), ageColumn],
  cells: (account, now) => [account.secrets?.length ?? 0, ageOf(account, now)],
});

export const podTemplates = kubernetesResource('core.v1.PodTemplate', {
  plural: 'podtemplates',
  columns: [column('Containers'), column('Images'), column('Pod Labels'), ageColumn],
  cells: (object, now) => [
    ...containerCells(object.template?.spec),
    formatLabels(object.template?.metadata?.labels),
    ageOf(object, now),
  ],
  mutate: (object) => defaultPodTemplate(object.template),
  issues: (object) => podTemplateIssues(object.template, 'template'),
});
