/** The Deployment that runs a Revision's pods. There is no sidecar: the gateway queues, limits, times and counts. */
import { parseDuration } from '../../../base/duration.ts';
import { shortHash } from '../../../base/names.ts';
import { readScalingSpec } from '../../../api/autoscaling/annotations.ts';
import type { KubernetesTypes } from '../../../api/generated/kubernetes-types.ts';
import type { Deployment } from '../../../api/kubernetes/workloads.ts';
import { controllerRef } from '../../../api/object.ts';
import type { Container } from '../../../api/pods.ts';
import type { ServingConfig } from '../../../api/serving/config/index.ts';
import { annotations, labels } from '../../../api/serving/labels.ts';
import type { RevisionProbe } from '../../../api/serving/pod-spec.ts';
import type { Revision, RevisionContainer } from '../../../api/serving/index.ts';
import { deploymentName, servingContainer, userPort } from './names.ts';

type PodSpec = KubernetesTypes['core.v1.PodSpec'];
type Probe = KubernetesTypes['core.v1.Probe'];

/** Labels of a revision's Deployment and pods. Routing state is left out: it changes, and pods must not. */
function podLabels(revision: Revision): Record<string, string> {
  const { name, uid = '', labels: own = {} } = revision.metadata;
  const kept = Object.entries(own).filter(([key]) => key !== labels.routingState && key !== labels.route);
  return { ...Object.fromEntries(kept), app: name, [labels.revision]: name, [labels.revisionUid]: uid };
}

/** Annotations that change during a revision's life do not reach its pods, or each change would replace them. */
function podAnnotations(revision: Revision): Record<string, string> {
  const moving = new Set<string>([
    annotations.routes,
    annotations.routingStateModified,
    annotations.lastApplied,
  ]);
  const own = Object.entries(revision.metadata.annotations ?? {});
  return Object.fromEntries(
    own.filter(([key]) => !moving.has(key) && !key.startsWith('autoscaling.knative.dev/')),
  );
}

/** Pods at the start of a revision's life. Later the autoscaler alone decides. */
export function initialReplicas(revision: Revision, config: ServingConfig): number {
  const scaling = readScalingSpec(
    revision.metadata.annotations ?? {},
    revision.spec?.containerConcurrency ?? 0,
    config.autoscaler,
  );
  const wanted = Math.max(scaling.initialScale, scaling.minScale);
  return scaling.maxScale > 0 ? Math.min(wanted, Math.max(scaling.maxScale, 1)) : wanted;
}

export function progressDeadlineSeconds(revision: Revision, config: ServingConfig): number {
  const own = parseDuration(revision.metadata.annotations?.[annotations.progressDeadline] ?? '');
  return Math.floor((own ?? config.deployment.progressDeadlineMs) / 1000);
}

/** `digests`: container name → image to run. */
export function makeDeployment(
  revision: Revision,
  digests: ReadonlyMap<string, string>,
  config: ServingConfig,
): Deployment {
  const { name, namespace, uid = '' } = revision.metadata;
  const template = {
    metadata: { labels: podLabels(revision), annotations: podAnnotations(revision) },
    spec: makePodSpec(revision, digests, config),
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: deploymentName(name),
      ...(namespace ? { namespace } : {}),
      ownerReferences: [controllerRef(revision)],
      labels: podLabels(revision),
      annotations: { ...podAnnotations(revision), [annotations.deploymentHash]: shortHash(template) },
    },
    spec: {
      replicas: initialReplicas(revision, config),
      progressDeadlineSeconds: progressDeadlineSeconds(revision, config),
      selector: { matchLabels: { [labels.revisionUid]: uid } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0 } },
      template: template as KubernetesTypes['core.v1.PodTemplateSpec'],
    },
  };
}

function makePodSpec(
  revision: Revision,
  digests: ReadonlyMap<string, string>,
  config: ServingConfig,
): PodSpec {
  const {
    containers = [],
    initContainers,
    containerConcurrency: _concurrency,
    timeoutSeconds,
    responseStartTimeoutSeconds: _start,
    idleTimeoutSeconds: _idle,
    ...rest
  } = revision.spec ?? {};
  const serving = servingContainer(revision);
  const port = userPort(revision);
  const make = (container: RevisionContainer, init: boolean): Container =>
    makeContainer(revision, container, { serving: container === serving, init, port, digests });
  const runtimeClass = rest.runtimeClassName ?? (config.deployment.runtimeClassName || undefined);
  return {
    ...rest,
    containers: containers.map((container) => make(container, false)),
    ...(initContainers ? { initContainers: initContainers.map((container) => make(container, true)) } : {}),
    ...(runtimeClass ? { runtimeClassName: runtimeClass } : {}),
    ...(!rest.affinity && config.deployment.defaultAffinityType !== 'none'
      ? { affinity: spreadOverNodes(revision.metadata.name) }
      : {}),
    terminationGracePeriodSeconds: timeoutSeconds ?? config.defaults.timeoutSeconds,
  };
}

/** Pods of a revision prefer nodes that have none of it. */
function spreadOverNodes(revision: string): KubernetesTypes['core.v1.Affinity'] {
  const labelSelector = { matchLabels: { [labels.revision]: revision } };
  const podAffinityTerm = { labelSelector, topologyKey: 'kubernetes.io/hostname' };
  return {
    podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm }] },
  };
}

interface ContainerRole {
  readonly serving: boolean;
  readonly init: boolean;
  readonly port: number;
  readonly digests: ReadonlyMap<string, string>;
}

function makeContainer(revision: Revision, container: RevisionContainer, role: ContainerRole): Container {
  const { name = '', image = '', ports, livenessProbe, readinessProbe, startupProbe, ...rest } = container;
  const probes = { livenessProbe, readinessProbe, startupProbe };
  const filled = Object.entries(probes).flatMap(([kind, probe]) =>
    probe ? [[kind, makeProbe(probe, role.port)]] : [],
  );
  return {
    ...rest,
    ...(Object.fromEntries(filled) as Pick<Container, keyof typeof probes>),
    name,
    image: role.digests.get(name) || image,
    env: [...(rest.env ?? []), ...platformEnv(revision, role)],
    ...(role.serving
      ? { ports: [{ name: ports?.[0]?.name || 'user-port', containerPort: role.port, protocol: 'TCP' }] }
      : {}),
    terminationMessagePolicy: rest.terminationMessagePolicy ?? 'FallbackToLogsOnError',
  };
}

/** The runtime contract's variables; PORT only where requests arrive. */
function platformEnv(
  { metadata }: Revision,
  { serving, port }: ContainerRole,
): { name: string; value: string }[] {
  const own = metadata.labels ?? {};
  return [
    ...(serving ? [{ name: 'PORT', value: String(port) }] : []),
    { name: 'K_REVISION', value: metadata.name },
    { name: 'K_CONFIGURATION', value: own[labels.configuration] ?? '' },
    { name: 'K_SERVICE', value: own[labels.service] ?? '' },
  ];
}

/** A probe without a port means the serving port; a period of 0 means as often as possible. */
function makeProbe(probe: RevisionProbe, port: number): Probe {
  const { httpGet, tcpSocket, grpc, exec, periodSeconds, ...rest } = probe;
  return {
    ...rest,
    periodSeconds: periodSeconds || 1,
    ...(exec ? { exec } : {}),
    ...(httpGet ? { httpGet: { ...httpGet, port: httpGet.port || port } } : {}),
    ...(tcpSocket ? { tcpSocket: { ...tcpSocket, port: tcpSocket.port || port } } : {}),
    ...(grpc ? { grpc: { ...grpc, port: grpc.port || port } } : {}),
  };
}
