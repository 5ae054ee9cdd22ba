/**
 * The part of a PodSpec that a revision may set. Members of Kubernetes' PodSpec that are missing here are unknown fields:
 * pruned, or refused under strict validation. Members behind a feature flag are here and judged in validation.
 */
import { containerProperties } from '../knative/container.ts';
import { boolean, int32, int64, intOrString, string, stringMap, strings } from '../knative/values.ts';
import type { Infer, Schema } from '../schema.ts';

/** Ports are optional here: a probe without one means the serving container's port. */
const probeSchema = {
  type: 'object',
  properties: {
    exec: { type: 'object', properties: { command: strings } },
    httpGet: {
      type: 'object',
      properties: {
        host: string,
        httpHeaders: {
          type: 'array',
          items: { type: 'object', required: ['name', 'value'], properties: { name: string, value: string } },
        },
        path: string,
        port: intOrString,
        scheme: string,
      },
    },
    tcpSocket: { type: 'object', properties: { host: string, port: intOrString } },
    // Go programs send null for the service that they leave out.
    grpc: { type: 'object', properties: { port: int32, service: { ...string, nullable: true } } },
    initialDelaySeconds: int32,
    periodSeconds: int32,
    timeoutSeconds: int32,
    successThreshold: int32,
    failureThreshold: int32,
    terminationGracePeriodSeconds: int64,
  },
} as const satisfies Schema;

export type RevisionProbe = Infer<typeof probeSchema>;

const containerSchema = {
  type: 'object',
  properties: {
    ...containerProperties,
    ports: {
      type: 'array',
      items: {
        type: 'object',
        required: ['containerPort'],
        properties: { name: string, containerPort: int32, hostPort: int32, hostIP: string, protocol: string },
      },
    },
    livenessProbe: probeSchema,
    readinessProbe: probeSchema,
    startupProbe: probeSchema,
  },
} as const satisfies Schema;

export type RevisionContainer = Infer<typeof containerSchema>;

const podSpecProperties = {
  affinity: { $ref: 'core.v1.Affinity' },
  automountServiceAccountToken: boolean,
  containers: { type: 'array', items: containerSchema },
  dnsConfig: { $ref: 'core.v1.PodDNSConfig' },
  dnsPolicy: string,
  enableServiceLinks: boolean,
  hostAliases: { type: 'array', items: { $ref: 'core.v1.HostAlias' } },
  hostIPC: boolean,
  hostNetwork: boolean,
  hostPID: boolean,
  imagePullSecrets: { type: 'array', items: { $ref: 'core.v1.LocalObjectReference' } },
  initContainers: { type: 'array', items: containerSchema },
  nodeSelector: stringMap,
  priorityClassName: string,
  runtimeClassName: string,
  schedulerName: string,
  securityContext: { $ref: 'core.v1.PodSecurityContext' },
  serviceAccountName: string,
  shareProcessNamespace: boolean,
  tolerations: { type: 'array', items: { $ref: 'core.v1.Toleration' } },
  topologySpreadConstraints: { type: 'array', items: { $ref: 'core.v1.TopologySpreadConstraint' } },
  volumes: { type: 'array', items: { $ref: 'core.v1.Volume' } },
} as const satisfies { [name: string]: Schema };

/** `spec` of a Revision and of a Configuration's template. */
export const revisionSpecSchema = {
  type: 'object',
  properties: {
    ...podSpecProperties,
    containerConcurrency: { ...int64, description: 'Most requests in flight per pod; 0 means no limit.' },
    timeoutSeconds: { ...int64, description: 'Most seconds that a request may take.' },
    responseStartTimeoutSeconds: {
      ...int64,
      description: 'Most seconds to the first byte of the response.',
    },
    idleTimeoutSeconds: { ...int64, description: 'Most seconds without a byte in either direction.' },
  },
} as const satisfies Schema;

export type RevisionSpec = Infer<typeof revisionSpecSchema>;

/** A Configuration's template: what each new Revision is made from. */
export const revisionTemplateSchema = {
  type: 'object',
  description: 'What each new Revision is made from.',
  properties: {
    metadata: {
      type: 'object',
      properties: {
        name: string,
        namespace: string,
        labels: stringMap,
        annotations: stringMap,
        finalizers: strings,
        // Go programs send it as null with each template.
        creationTimestamp: { type: 'string', nullable: true },
      },
    },
    spec: revisionSpecSchema,
  },
} as const satisfies Schema;

export type RevisionTemplate = Infer<typeof revisionTemplateSchema>;

/** One share of a Route's traffic. */
const trafficTargetSchema = {
  type: 'object',
  properties: {
    configurationName: string,
    latestRevision: boolean,
    percent: int64,
    revisionName: string,
    tag: string,
    url: string,
  },
} as const satisfies Schema;

export type TrafficTarget = Infer<typeof trafficTargetSchema>;

export const trafficSchema = { type: 'array', items: trafficTargetSchema } as const satisfies Schema;
