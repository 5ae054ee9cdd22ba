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

/** Revisions that a set had before, oldest first, separated by commas. */
const historyAnnotation = 'deployment.kubernetes.io/revision-history';

/** Annotations of a Deployment that say nothing about its ReplicaSets. */
const ownAnnotations = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  revisionAnnotation,
  historyAnnotation,
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

/** A Deployment's annotations, of its owner's choosing, that its newest set has as well: the cause of a change… */
function inheritedAnnotations({ metadata }: Deployment): { [key: string]: string } {
  const entries = Object.entries(metadata.annotations ?? {});
  return Object.fromEntries(entries.filter(([key]) => !ownAnnotations.has(key)));
}

/** The merge patch that makes the set of the present template say what it should; undefined when it does. */
export function newSetUpdate(deployment: Deployment, set: ReplicaSet, revision: bigint): object | undefined {
  const have = set.metadata.annotations ?? {};
  const before = have[revisionAnnotation];
  const wanted = { ...inheritedAnnotations(deployment), [revisionAnnotation]: String(revision) };
  const annotations = Object.fromEntries(
    Object.entries(wanted).filter(([key, value]) => have[key] !== value),
  );
  if (before !== undefined && before !== String(revision)) {
    const history = have[historyAnnotation];
    annotations[historyAnnotation] = history ? `${history},${before}` : before;
  }
  const minReadySeconds = deployment.spec?.minReadySeconds ?? 0;
  const spec = minReadySeconds === (set.spec?.minReadySeconds ?? 0) ? undefined : { minReadySeconds };
  if (!spec && Object.keys(annotations).length === 0) return undefined;
  return { metadata: { uid: set.metadata.uid, annotations }, ...(spec ? { spec } : {}) };
}

/** The ReplicaSet for the Deployment's present template. */
export function makeReplicaSet(deployment: Deployment, replicas: number, revision: bigint): ReplicaSet {
  const { spec, metadata } = deployment;
  const template = spec?.template;
  const hash = templateHash(template, deployment.status?.collisionCount ?? 0);
  const labels = { ...template?.metadata?.labels, [hashLabel]: hash };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${metadata.name}-${hash}`,
      ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
      labels,
      annotations: {
        ...inheritedAnnotations(deployment),
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
