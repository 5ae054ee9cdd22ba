/** autoscaling.internal.knative.dev/v1alpha1 PodAutoscaler and Metric: how a revision is scaled, and what is measured. */
import { readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { webhookDenial } from '../knative/field-errors.ts';
import { defineResource, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { admissionConfig } from '../serving/config/admission.ts';
import { servingWebhook } from '../serving/labels.ts';
import { autoscalingKey, kpaClass, validateScalingAnnotations } from './annotations.ts';

const internalGroup = 'autoscaling.internal.knative.dev';

const podAutoscalerSchema = {
  type: 'object',
  description: 'How the pods of a Revision are scaled.',
  properties: {
    spec: {
      type: 'object',
      required: ['protocolType', 'scaleTargetRef'],
      properties: {
        containerConcurrency: { type: 'integer', format: 'int64' },
        protocolType: { type: 'string', enum: ['http1', 'h2c'] },
        reachability: { type: 'string', enum: ['', 'Reachable', 'Unreachable'] },
        scaleTargetRef: {
          type: 'object',
          properties: { apiVersion: { type: 'string' }, kind: { type: 'string' }, name: { type: 'string' } },
        },
      },
    },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        actualScale: { type: 'integer', format: 'int32' },
        desiredScale: { type: 'integer', format: 'int32' },
        metricsServiceName: { type: 'string' },
        serviceName: { type: 'string' },
      },
    },
  },
} as const satisfies Schema;

export type PodAutoscaler = ObjectOf<typeof podAutoscalerSchema>;

export const podAutoscalers = defineResource({
  group: internalGroup,
  version: 'v1alpha1',
  kind: 'PodAutoscaler',
  plural: 'podautoscalers',
  shortNames: ['kpa', 'pa'],
  categories: ['knative-internal', 'autoscaling'],
  namespaced: true,
  builtin: false,
  schema: podAutoscalerSchema,
  subresources: { status: true },
  columns: [
    { name: 'DesiredScale', type: 'integer', jsonPath: '.status.desiredScale' },
    { name: 'ActualScale', type: 'integer', jsonPath: '.status.actualScale' },
    ...readyColumns,
  ],
  mutate(autoscaler, context) {
    if (context.subresource) return;
    const annotations = (autoscaler.metadata.annotations ??= {});
    const scalerClass = (annotations[autoscalingKey('class')] ??= admissionConfig(
      context,
      'autoscaler',
    ).podAutoscalerClass);
    annotations[autoscalingKey('metric')] ??= scalerClass === kpaClass ? 'concurrency' : 'cpu';
  },
  validate(autoscaler, context) {
    if (context.subresource) return [];
    const annotations = autoscaler.metadata.annotations ?? {};
    return validateScalingAnnotations(
      annotations,
      admissionConfig(context, 'autoscaler'),
      'metadata.annotations',
    );
  },
  denial: webhookDenial(servingWebhook),
});

const metricSchema = {
  type: 'object',
  description: 'What is measured of a Revision, and over which windows.',
  properties: {
    spec: {
      type: 'object',
      required: ['panicWindow', 'scrapeTarget', 'stableWindow'],
      properties: {
        panicWindow: { type: 'integer', format: 'int64', description: 'Nanoseconds.' },
        scrapeTarget: { type: 'string' },
        stableWindow: { type: 'integer', format: 'int64', description: 'Nanoseconds.' },
      },
    },
    status: { type: 'object', properties: statusProperties },
  },
} as const satisfies Schema;

export type Metric = ObjectOf<typeof metricSchema>;

export const metrics = defineResource({
  group: internalGroup,
  version: 'v1alpha1',
  kind: 'Metric',
  plural: 'metrics',
  categories: ['knative-internal', 'autoscaling'],
  namespaced: true,
  builtin: false,
  schema: metricSchema,
  subresources: { status: true },
  columns: readyColumns,
});
