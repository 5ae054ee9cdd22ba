/** ConfigMaps config-deployment, config-gc and config-observability. */
import {
  boolean,
  choice,
  duration,
  durationOrDisabled,
  integer,
  integerOrDisabled,
  list,
  quantity,
  readFields,
  text,
  type ConfigData,
  type Values,
} from './fields.ts';

export const deploymentFields = {
  queueSidecarImage: text(
    'queue-sidecar-image',
    '',
    'Image of the sidecar. Unused: the gateway does its work.',
  ),
  registriesSkippingTagResolving: list(
    'registries-skipping-tag-resolving',
    ['kind.local', 'ko.local', 'dev.local'],
    'Registries whose tags are used as they are, without a digest.',
  ),
  digestResolutionTimeoutMs: duration(
    'digest-resolution-timeout',
    10_000,
    'Most time to find the digest of a tag.',
  ),
  progressDeadlineMs: duration(
    'progress-deadline',
    600_000,
    'Most time for a revision to become ready before it counts as failed.',
  ),
  queueSidecarCpuRequest: quantity('queue-sidecar-cpu-request', 'Unused: there is no sidecar.'),
  queueSidecarCpuLimit: quantity('queue-sidecar-cpu-limit', 'Unused: there is no sidecar.'),
  queueSidecarMemoryRequest: quantity('queue-sidecar-memory-request', 'Unused: there is no sidecar.'),
  queueSidecarMemoryLimit: quantity('queue-sidecar-memory-limit', 'Unused: there is no sidecar.'),
  queueSidecarEphemeralStorageRequest: quantity(
    'queue-sidecar-ephemeral-storage-request',
    'Unused: there is no sidecar.',
  ),
  queueSidecarEphemeralStorageLimit: quantity(
    'queue-sidecar-ephemeral-storage-limit',
    'Unused: there is no sidecar.',
  ),
  defaultAffinityType: choice(
    'default-affinity-type',
    ['prefer-spread-revision-over-nodes', 'none'],
    'prefer-spread-revision-over-nodes',
    'Affinity of pods that have none.',
  ),
  runtimeClassName: text('runtime-class-name', '', 'Runtime class of pods that have none.'),
  podIsAlwaysSchedulable: boolean(
    'pod-is-always-schedulable',
    false,
    'Whether pods that cannot be scheduled are only waiting for a node.',
  ),
} as const;

export type DeploymentConfig = Values<typeof deploymentFields>;

export function readDeploymentConfig(data: ConfigData): DeploymentConfig {
  const values = readFields(deploymentFields, data);
  if (values.progressDeadlineMs < 1000 || values.progressDeadlineMs % 1000 !== 0) {
    throw new Error('progress-deadline must be a positive whole number of seconds');
  }
  if (values.digestResolutionTimeoutMs <= 0) throw new Error('digest-resolution-timeout must be positive');
  return values;
}

export const gcFields = {
  retainSinceCreateTimeMs: durationOrDisabled(
    'retain-since-create-time',
    48 * 3_600_000,
    'Age from which on an unused revision may be removed, or disabled.',
  ),
  retainSinceLastActiveTimeMs: durationOrDisabled(
    'retain-since-last-active-time',
    15 * 3_600_000,
    'Time without traffic from which on a revision may be removed, or disabled.',
  ),
  minNonActiveRevisions: integer('min-non-active-revisions', 20, 'Unused revisions that always stay.', {
    min: 0,
  }),
  maxNonActiveRevisions: integerOrDisabled(
    'max-non-active-revisions',
    1000,
    'Unused revisions beyond which the oldest go whatever their age, or disabled.',
  ),
} as const;

export type GcConfig = Values<typeof gcFields>;

export function readGcConfig(data: ConfigData): GcConfig {
  const values = readFields(gcFields, data);
  const max = values.maxNonActiveRevisions;
  if (max !== undefined && max < values.minNonActiveRevisions) {
    throw new Error(
      `min-non-active-revisions(${values.minNonActiveRevisions}) must be <= max-non-active-revisions(${max})`,
    );
  }
  return values;
}

export const observabilityFields = {
  enableVarLogCollection: boolean(
    'logging.enable-var-log-collection',
    false,
    'Collect /var/log of containers.',
  ),
  revisionUrlTemplate: text(
    'logging.revision-url-template',
    '',
    "Address of a revision's logs, with ${REVISION_UID}; shown in status.logUrl.",
  ),
  enableRequestLog: boolean('logging.enable-request-log', false, 'Log every request.'),
  requestLogTemplate: text('logging.request-log-template', '', 'Template of a line of the request log.'),
  enableProbeRequestLog: boolean('logging.enable-probe-request-log', false, 'Log probes too.'),
  metricsProtocol: choice(
    'metrics-protocol',
    ['none', 'prometheus', 'http/protobuf', 'grpc'],
    'none',
    'Export of metrics.',
  ),
  requestMetricsProtocol: choice(
    'request-metrics-protocol',
    ['none', 'prometheus', 'http/protobuf', 'grpc'],
    'none',
    'Export of request metrics.',
  ),
  tracingProtocol: choice(
    'tracing-protocol',
    ['none', 'http/protobuf', 'grpc', 'stdout'],
    'none',
    'Export of traces.',
  ),
  runtimeProfiling: choice('runtime-profiling', ['enabled', 'disabled'], 'disabled', 'Profiling endpoints.'),
} as const;

export type ObservabilityConfig = Values<typeof observabilityFields>;

export function readObservabilityConfig(data: ConfigData): ObservabilityConfig {
  return readFields(observabilityFields, data);
}
