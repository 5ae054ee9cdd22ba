import { createHash } from 'node:crypto';
import { controllerRef, type ObjectMeta } from '../../api/object.ts';
import type { Deployment, ReplicaSet } from '../../api/kubernetes/workloads.ts';
import {
  desiredAnnotation,
  hashLabel,
  maxAnnotation,
  revisionAnnotation,
  rolloutBounds,
} from '../rollout-decisions.ts';

/** Letters and digits that make no words (apimachinery `rand.SafeEncodeString`). */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** A stable hash of a template; `collisions` tells apart two templates that would get the same. */
function templateHash(template: unknown, collisions: number): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([template, collisions]))
    .digest();
  let text = '';
  for (const byte of digest.subarray(0, 10)) text += alphabet[byte % alphabet.length];
  return text;
}

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
