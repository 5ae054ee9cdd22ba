/** The ServerlessService and the Metric of a PodAutoscaler. Pure. */
import type { Metric, PodAutoscaler } from '../../../api/autoscaling/index.ts';
import type { ScalingSpec } from '../../../api/autoscaling/annotations.ts';
import type { ServerlessService } from '../../../api/networking/index.ts';
import { controllerRef } from '../../../api/object.ts';
import { privateServiceName } from '../../serverless-service/resources/make.ts';

function childMetadata(autoscaler: PodAutoscaler) {
  const { name, namespace = '', labels, annotations } = autoscaler.metadata;
  return {
    name,
    namespace,
    ownerReferences: [controllerRef(autoscaler)],
    ...(labels ? { labels } : {}),
    ...(annotations ? { annotations } : {}),
  };
}

export function makeServerlessService(
  autoscaler: PodAutoscaler,
  mode: 'Serve' | 'Proxy',
  numActivators: number,
): ServerlessService {
  return {
    apiVersion: 'networking.internal.knative.dev/v1alpha1',
    kind: 'ServerlessService',
    metadata: childMetadata(autoscaler),
    spec: {
      mode,
      numActivators,
      objectRef: { ...autoscaler.spec?.scaleTargetRef },
      protocolType: autoscaler.spec?.protocolType ?? 'http1',
    },
  };
}

/** Windows in nanoseconds, as Go's time.Duration is written. */
export function makeMetric(autoscaler: PodAutoscaler, spec: ScalingSpec): Metric {
  return {
    apiVersion: 'autoscaling.internal.knative.dev/v1alpha1',
    kind: 'Metric',
    metadata: childMetadata(autoscaler),
    spec: {
      stableWindow: spec.stableWindowMs * 1_000_000,
      panicWindow: spec.panicWindowMs * 1_000_000,
      scrapeTarget: privateServiceName(autoscaler.metadata.name),
    },
  };
}
