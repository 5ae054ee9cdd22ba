/**
 * The roles and bindings that every cluster has (kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy), as far as
 * they mean something here, and those that Knative installs for its kinds. Roles of control plane parts are left out:
 * those parts run in this process.
 */
import type { ClusterRole, ClusterRoleBinding } from '../../../api/kubernetes/index.ts';
import type { PolicyRule } from './rules.ts';

const rbac = 'rbac.authorization.k8s.io';
export const autoUpdate = 'rbac.authorization.kubernetes.io/autoupdate';

const read = ['get', 'list', 'watch'];
const write = ['create', 'delete', 'deletecollection', 'patch', 'update'];

type Level = 'admin' | 'edit' | 'view';

interface RoleOptions {
  /** Whose rules it joins. */
  readonly partOf?: Level;
  /** Collects the rules of all roles that are part of the level. */
  readonly collects?: Level;
  /** Kubernetes' own, as its labels say. Default true. */
  readonly bootstrap?: boolean;
}

const aggregateTo = (level: Level): string => `${rbac}/aggregate-to-${level}`;

function role(name: string, rules: readonly PolicyRule[], options: RoleOptions = {}): ClusterRole {
  const { partOf, collects, bootstrap = true } = options;
  return {
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRole',
    metadata: {
      name,
      annotations: { [autoUpdate]: 'true' },
      labels: {
        ...(bootstrap ? { 'kubernetes.io/bootstrapping': 'rbac-defaults' } : {}),
        ...(partOf ? { [aggregateTo(partOf)]: 'true' } : {}),
      },
    },
    ...(collects
      ? {
          aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregateTo(collects)]: 'true' } }] },
        }
      : {}),
    rules: [...rules],
  };
}

function rule(verbs: readonly string[], group: string, resources: string): PolicyRule {
  return { apiGroups: [group], resources: resources.split(' '), verbs: [...verbs] };
}

function paths(...urls: string[]): PolicyRule {
  return { nonResourceURLs: urls, verbs: ['get'] };
}

const health = ['/healthz', '/livez', '/readyz', '/version', '/version/'];

const viewRules: readonly PolicyRule[] = [
  rule(
    read,
    '',
    'configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status',
  ),
  rule(
    read,
    '',
    'bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status',
  ),
  rule(read, '', 'namespaces'),
  rule(read, 'discovery.k8s.io', 'endpointslices'),
  rule(
    read,
    'apps',
    'controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status',
  ),
  rule(read, 'autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status'),
  rule(read, 'batch', 'cronjobs cronjobs/status jobs jobs/status'),
  rule(read, 'policy', 'poddisruptionbudgets poddisruptionbudgets/status'),
  rule(read, 'networking.k8s.io', 'ingresses ingresses/status networkpolicies'),
];

const editRules: readonly PolicyRule[] = [
  rule(read, '', 'pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy'),
  rule(['impersonate'], '', 'serviceaccounts'),
  rule(write, '', 'pods pods/attach pods/exec pods/portforward pods/proxy'),
  rule(['create'], '', 'pods/eviction'),
  rule(
    write,
    '',
    'configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy',
  ),
  rule(['create'], '', 'serviceaccounts/token'),
  rule(
    write,
    'apps',
    'daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale',
  ),
  rule(write, 'autoscaling', 'horizontalpodautoscalers'),
  rule(write, 'batch', 'cronjobs jobs'),
  rule(write, 'policy', 'poddisruptionbudgets'),
  rule(write, 'networking.k8s.io', 'ingresses networkpolicies'),
  rule([...read, ...write], 'coordination.k8s.io', 'leases'),
];

const adminRules: readonly PolicyRule[] = [
  rule(['create'], 'authorization.k8s.io', 'localsubjectaccessreviews'),
  rule([...read, ...write], rbac, 'rolebindings roles'),
];

function approver(name: string, ...signers: string[]): ClusterRole {
  const group = 'certificates.k8s.io';
  const resourceNames = signers.map((signer) => `kubernetes.io/${signer}`);
  return role(`system:certificates.k8s.io:${name}`, [
    { ...rule(['approve'], group, 'signers'), resourceNames },
  ]);
}

/** Knative's groups: what users write, and what its controllers keep for themselves. */
const knative: readonly { name: string; groups: readonly string[]; internal: readonly string[] }[] = [
  {
    name: 'serving',
    groups: ['serving.knative.dev'],
    internal: [
      'autoscaling.internal.knative.dev',
      'caching.internal.knative.dev',
      'networking.internal.knative.dev',
    ],
  },
  {
    name: 'eventing',
    groups: [
      'bindings.knative.dev',
      'eventing.knative.dev',
      'flows.knative.dev',
      'messaging.knative.dev',
      'sources.knative.dev',
    ],
    internal: [],
  },
  { name: 'build', groups: ['build.knative.dev'], internal: [] },
];

function knativeRoles(): ClusterRole[] {
  return knative.flatMap(({ name, groups, internal }) => {
    const on = (verbs: readonly string[], apiGroups: readonly string[]): PolicyRule[] =>
      apiGroups.length > 0 ? [{ apiGroups: [...apiGroups], resources: ['*'], verbs: [...verbs] }] : [];
    const make = (level: Level, rules: readonly PolicyRule[]): ClusterRole =>
      role(`knative-${name}-namespaced-${level}`, rules, { partOf: level, bootstrap: false });
    return [
      make('admin', [...on(['*'], groups), ...on(read, internal)]),
      make('edit', [...on(['create', 'update', 'patch', 'delete'], groups), ...on(read, internal)]),
      make('view', on(read, [...groups, ...internal])),
    ];
  });
}

/** All of them, in no particular order. `admin`, `edit` and `view` get their rules by aggregation. */
export function defaultClusterRoles(): ClusterRole[] {
  const view = role('view', [], { collects: 'view', partOf: 'edit' });
  const edit = role('edit', [], { collects: 'edit', partOf: 'admin' });
  return [
    role('cluster-admin', [rule(['*'], '*', '*'), { nonResourceURLs: ['*'], verbs: ['*'] }]),
    role('system:discovery', [
      paths('/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*', ...health),
    ]),
    role('system:basic-user', [
      rule(['create'], 'authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews'),
      rule(['create'], 'authentication.k8s.io', 'selfsubjectreviews'),
    ]),
    role('system:public-info-viewer', [paths(...health)]),
    role('system:service-account-issuer-discovery', [
      paths(
        '/.well-known/openid-configuration',
        '/.well-known/openid-configuration/',
        '/openid/v1/jwks',
        '/openid/v1/jwks/',
      ),
    ]),
    role('system:auth-delegator', [
      rule(['create'], 'authentication.k8s.io', 'tokenreviews'),
      rule(['create'], 'authorization.k8s.io', 'subjectaccessreviews'),
    ]),
    role('system:monitoring', [
      paths('/healthz', '/healthz/*', '/livez', '/livez/*', '/metrics', '/readyz', '/readyz/*'),
    ]),
    approver('kube-apiserver-client-approver', 'kube-apiserver-client'),
    approver('kube-apiserver-client-kubelet-approver', 'kube-apiserver-client-kubelet'),
    approver('kubelet-serving-approver', 'kubelet-serving'),
    role('admin', [], { collects: 'admin' }),
    edit,
    view,
    role('system:aggregate-to-admin', adminRules, { partOf: 'admin' }),
    role('system:aggregate-to-edit', editRules, { partOf: 'edit' }),
    role('system:aggregate-to-view', viewRules, { partOf: 'view' }),
    role('system:aggregated-metrics-reader', [rule(read, 'metrics.k8s.io', 'pods nodes')], {
      partOf: 'view',
    }),
    ...knativeRoles(),
  ];
}

function binding(name: string, ...groups: string[]): ClusterRoleBinding {
  return {
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: {
      name,
      annotations: { [autoUpdate]: 'true' },
      labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' },
    },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name },
    subjects: groups.map((group) => ({ kind: 'Group', apiGroup: rbac, name: group })),
  };
}

/** Each binds the role of its own name. */
export function defaultClusterRoleBindings(): ClusterRoleBinding[] {
  return [
    binding('cluster-admin', 'system:masters'),
    binding('system:discovery', 'system:authenticated'),
    binding('system:basic-user', 'system:authenticated'),
    binding('system:public-info-viewer', 'system:authenticated', 'system:unauthenticated'),
    binding('system:service-account-issuer-discovery', 'system:serviceaccounts'),
    binding('system:monitoring', 'system:monitoring'),
  ];
}
