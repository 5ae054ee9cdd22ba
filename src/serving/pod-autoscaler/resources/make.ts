/** The ServerlessService, the Metric and the HorizontalPodAutoscaler of a PodAutoscaler. Pure. */
import type { Metric, PodAutoscaler } from '../../../api/autoscaling/index.ts';
import { readHpaTarget, type ScalingSpec } from '../../../api/autoscaling/annotations.ts';
import {
  defaultBehavior,
  defaultMetric,
  type HorizontalPodAutoscaler,
  type HpaBehavior,
  type MetricSpec,
} from '../../../api/kubernetes/autoscaling-defaults.ts';
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

const maxInt32 = 2_147_483_647;

/**
 * The autoscaler of Kubernetes that works for a PodAutoscaler of class HPA (knative/serving
 * pkg/reconciler/autoscaling/hpa/resources), with its defaults. Without a target: 80 % of the CPU that is asked for.
 */
export function makeHorizontalPodAutoscaler(
  autoscaler: PodAutoscaler,
  bounds: { readonly min: number; readonly max: number },
): HorizontalPodAutoscaler {
  const { apiVersion = '', kind = '', name = '' } = autoscaler.spec?.scaleTargetRef ?? {};
  const { metric, target, windowMs } = readHpaTarget(autoscaler.metadata.annotations ?? {});
  const rules = windowMs === undefined ? undefined : { stabilizationWindowSeconds: windowMs / 1000 };
  const behavior: HpaBehavior | undefined = rules && { scaleUp: rules, scaleDown: rules };
  if (behavior) defaultBehavior(behavior);
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: childMetadata(autoscaler),
    spec: {
      scaleTargetRef: { apiVersion, kind, name },
      minReplicas: Math.max(1, bounds.min),
      maxReplicas: bounds.max === 0 ? maxInt32 : bounds.max,
      metrics: [target === undefined ? defaultMetric() : makeHpaMetric(metric, target)],
      ...(behavior ? { behavior } : {}),
    },
  };
}

/** CPU in percent of the request, memory in MiB per pod, anything else as a custom metric per pod. */
function makeHpaMetric(name: string, target: number): MetricSpec {
  if (name === 'cpu') {
    const averageUtilization = Math.ceil(target);
    return { type: 'Resource', resource: { name, target: { type: 'Utilization', averageUtilization } } };
  }
  if (name === 'memory') {
    const averageValue = `${Math.trunc(target)}Mi`;
    return { type: 'Resource', resource: { name, target: { type: 'AverageValue', averageValue } } };
  }
  const averageValue = String(Math.trunc(target));
  return { type: 'Pods', pods: { metric: { name }, target: { type: 'AverageValue', averageValue } } };
}
