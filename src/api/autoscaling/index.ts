/** The group autoscaling.internal.knative.dev. */
import type { ResourceDef } from '../resource.ts';
import { metrics, podAutoscalers } from './pod-autoscaler.ts';

export { metrics, podAutoscalers, type Metric, type PodAutoscaler } from './pod-autoscaler.ts';

export const autoscalingResources: readonly ResourceDef[] = [podAutoscalers, metrics];
