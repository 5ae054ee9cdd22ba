/** Names of serving.knative.dev and its neighbours: the group, its webhook, labels and annotations. */

export const servingGroup = 'serving.knative.dev';
/** The webhook that refusals name. */
export const servingWebhook = 'validation.webhook.serving.knative.dev';

export const labels = {
  service: `${servingGroup}/service`,
  serviceUid: `${servingGroup}/serviceUID`,
  configuration: `${servingGroup}/configuration`,
  configurationGeneration: `${servingGroup}/configurationGeneration`,
  configurationUid: `${servingGroup}/configurationUID`,
  revision: `${servingGroup}/revision`,
  revisionUid: `${servingGroup}/revisionUID`,
  route: `${servingGroup}/route`,
  routeNamespace: `${servingGroup}/routeNamespace`,
  routingState: `${servingGroup}/routingState`,
  visibility: 'networking.knative.dev/visibility',
  serverlessService: 'networking.internal.knative.dev/serverlessservice',
  serviceType: 'networking.internal.knative.dev/serviceType',
} as const;

export const annotations = {
  creator: `${servingGroup}/creator`,
  lastModifier: `${servingGroup}/lastModifier`,
  routes: `${servingGroup}/routes`,
  routingStateModified: `${servingGroup}/routingStateModified`,
  rolloutDuration: `${servingGroup}/rollout-duration`,
  noGc: `${servingGroup}/no-gc`,
  progressDeadline: `${servingGroup}/progress-deadline`,
  deploymentHash: `${servingGroup}/deployment-hash`,
  ingressClass: 'networking.knative.dev/ingress.class',
  certificateClass: 'networking.knative.dev/certificate.class',
  rollout: 'networking.internal.knative.dev/rollout',
  tagToHost: 'networking.internal.knative.dev/tag-to-host',
  lastApplied: 'kubectl.kubernetes.io/last-applied-configuration',
} as const;

/** The value of {@link labels.visibility} that keeps a route off the public listener. */
export const clusterLocal = 'cluster-local';

/** Where Knative's ConfigMaps live. */
export const systemNamespace = 'knative-serving';
