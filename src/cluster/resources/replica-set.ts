import { controllerRef, type ObjectMeta } from '../../api/object.ts';
import type { Deployment, ReplicaSet } from '../../api/kubernetes/workloads.ts';
import {
  desiredAnnotation,
  hashLabel,
  maxAnnotation,
  revisionAnnotation,
  rolloutBounds,
} from '../rollout-decisions.ts';
import { templateHash } from './template-hash.ts';

/** Annotations of a Deployment that say nothing about its ReplicaSets. */
const ownAnnotations = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  revisionAnnotation,
  'deployment.kubernetes.io/revision-history',
  desiredAnnotation,
  maxAnnotation,
  'deprecated.deployment.rollback.to',
]);

/** What every set of the Deployment notes about the rollout. */
export function scaleAnnotations(deployment: Deployment): { [key: string]: string } {
  const total = deployment.spec?.replicas ?? 1;
  return {
    [desiredAnnotation]: String(total),
    [maxAnnotation]: String(total + rolloutBounds(deployment).maxSurge),
  };
}

/** The ReplicaSet for the Deployment's present template. */
export function makeReplicaSet(deployment: Deployment, replicas: number, revision: number): ReplicaSet {
  const { spec, metadata } = deployment;
  const template = spec?.template;
  const hash = templateHash(template, deployment.status?.collisionCount ?? 0);
  const inherited = Object.entries(metadata.annotations ?? {}).filter(([key]) => !ownAnnotations.has(key));
  const labels = { ...template?.metadata?.labels, [hashLabel]: hash };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${metadata.name}-${hash}`,
      ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
      labels,
      annotations: {
        ...Object.fromEntries(inherited),
        ...scaleAnnotations(deployment),
        [revisionAnnotation]: String(revision),
      },
      ownerReferences: [controllerRef(deployment)],
    },
    spec: {
      replicas,
      ...(spec?.minReadySeconds ? { minReadySeconds: spec.minReadySeconds } : {}),
      selector: {
        ...spec?.selector,
        matchLabels: { ...spec?.selector.matchLabels, [hashLabel]: hash },
      },
      template: {
        ...template,
        // A template's metadata has no name, which ObjectMeta has to have.
        metadata: { ...template?.metadata, labels } as ObjectMeta,
      },
    },
  };
}
