/** HorizontalPodAutoscaler: its types, and what it is taken to mean where it says nothing. */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { KubernetesObject } from './define.ts';

export type HorizontalPodAutoscaler = KubernetesObject<'autoscaling.v2.HorizontalPodAutoscaler'>;
export type MetricSpec = KubernetesTypes['autoscaling.v2.MetricSpec'];
export type MetricStatus = KubernetesTypes['autoscaling.v2.MetricStatus'];
export type MetricTarget = KubernetesTypes['autoscaling.v2.MetricTarget'];
export type ScalingRules = KubernetesTypes['autoscaling.v2.HPAScalingRules'];
export type HpaBehavior = KubernetesTypes['autoscaling.v2.HorizontalPodAutoscalerBehavior'];
type Policy = KubernetesTypes['autoscaling.v2.HPAScalingPolicy'];

/** Percent of the CPU request that is aimed at when no metric is given. */
export const defaultCpuUtilization = 80;

const scaleUpPolicies: readonly Policy[] = [
  { type: 'Pods', value: 4, periodSeconds: 15 },
  { type: 'Percent', value: 100, periodSeconds: 15 },
];
const scaleDownPolicies: readonly Policy[] = [{ type: 'Percent', value: 100, periodSeconds: 15 }];

/** The metric of an autoscaler that names none. */
export function defaultMetric(): MetricSpec {
  const target = { type: 'Utilization', averageUtilization: defaultCpuUtilization };
  return { type: 'Resource', resource: { name: 'cpu', target } };
}

/** Fills what a given behavior leaves open (kubernetes pkg/apis/autoscaling/v2 defaults). */
export function defaultBehavior(behavior: HpaBehavior): void {
  behavior.scaleUp = {
    stabilizationWindowSeconds: 0,
    selectPolicy: 'Max',
    policies: scaleUpPolicies.map((policy) => ({ ...policy })),
    ...behavior.scaleUp,
  };
  behavior.scaleDown = {
    selectPolicy: 'Max',
    policies: scaleDownPolicies.map((policy) => ({ ...policy })),
    ...behavior.scaleDown,
  };
}
