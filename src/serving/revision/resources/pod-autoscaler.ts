/** The PodAutoscaler and the image caches of a Revision. */
import type { CachedImage } from '../../../api/caching/index.ts';
import type { PodAutoscaler } from '../../../api/autoscaling/index.ts';
import { controllerRef } from '../../../api/object.ts';
import { annotations, labels } from '../../../api/serving/labels.ts';
import type { Revision } from '../../../api/serving/index.ts';
import { deploymentName, imageCacheName, protocolOf } from './names.ts';

export type Reachability = '' | 'Reachable' | 'Unreachable';

/** `failed`: the revision cannot serve and has no ready pod; keeping pods for it would be waste. */
export function reachabilityOf(revision: Revision, failed: boolean): Reachability {
  if (failed) return 'Unreachable';
  const state = revision.metadata.labels?.[labels.routingState];
  if (state === 'active') return 'Reachable';
  return state === 'reserve' ? 'Unreachable' : '';
}

export function makePodAutoscaler(revision: Revision, reachability: Reachability): PodAutoscaler {
  const { name, namespace, uid = '' } = revision.metadata;
  return {
    apiVersion: 'autoscaling.internal.knative.dev/v1alpha1',
    kind: 'PodAutoscaler',
    metadata: {
      name,
      ...(namespace ? { namespace } : {}),
      ownerReferences: [controllerRef(revision)],
      labels: { ...revision.metadata.labels, app: name, [labels.revision]: name, [labels.revisionUid]: uid },
      annotations: autoscalerAnnotations(revision),
    },
    spec: {
      containerConcurrency: revision.spec?.containerConcurrency ?? 0,
      protocolType: protocolOf(revision),
      reachability,
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: deploymentName(name) },
    },
  };
}

/** The annotations that move with routing stay on the revision. */
function autoscalerAnnotations(revision: Revision): Record<string, string> {
  const moving = new Set<string>([
    annotations.routes,
    annotations.routingStateModified,
    annotations.lastApplied,
  ]);
  return Object.fromEntries(
    Object.entries(revision.metadata.annotations ?? {}).filter(([key]) => !moving.has(key)),
  );
}

export function makeImageCache(revision: Revision, container: string, image: string): CachedImage {
  const { name, namespace } = revision.metadata;
  const { serviceAccountName, imagePullSecrets } = revision.spec ?? {};
  return {
    apiVersion: 'caching.internal.knative.dev/v1alpha1',
    kind: 'Image',
    metadata: {
      name: imageCacheName(name, container),
      ...(namespace ? { namespace } : {}),
      ownerReferences: [controllerRef(revision)],
      labels: { ...revision.metadata.labels, [labels.revision]: name },
    },
    spec: {
      image,
      ...(serviceAccountName ? { serviceAccountName } : {}),
      ...(imagePullSecrets ? { imagePullSecrets } : {}),
    },
  };
}
