/** What Knative's defaulting webhook fills in (knative/serving pkg/apis/serving/v1 `SetDefaults`). */
import { deepEqual } from '../../base/json.ts';
import type { KubeObject } from '../object.ts';
import type { AdmissionContext } from '../resource.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { DefaultsConfig } from './config/defaults.ts';
import { admissionConfig } from './config/admission.ts';
import type {
  RevisionContainer,
  RevisionProbe,
  RevisionSpec,
  RevisionTemplate,
  TrafficTarget,
} from './pod-spec.ts';

interface Templated extends KubeObject {
  spec?: { template?: RevisionTemplate };
}

interface ServiceLike extends Templated {
  spec?: { template?: RevisionTemplate; traffic?: TrafficTarget[] };
}

interface RevisionLike extends KubeObject {
  spec?: RevisionSpec;
}

export function defaultServiceSpec(service: ServiceLike, context: AdmissionContext): void {
  defaultConfigurationSpec(service, context);
  const spec = (service.spec ??= {});
  if (!spec.traffic || spec.traffic.length === 0) spec.traffic = [{ latestRevision: true, percent: 100 }];
  defaultTraffic(spec.traffic);
}

/** A template whose chosen name did not change is left as it is: defaults that moved since must not look like an edit. */
export function defaultConfigurationSpec(object: Templated, context: AdmissionContext): void {
  const template = object.spec?.template;
  if (!template) return;
  // Go programs send it with each template, others do not: it must not make the difference of a new revision.
  delete template.metadata?.creationTimestamp;
  const stored: Templated | undefined = context.old;
  const old = stored?.spec?.template;
  const name = template.metadata?.name;
  if (name && old?.metadata?.name === name) {
    const filled = structuredClone(template);
    defaultRevisionSpec((filled.spec ??= {}), context);
    if (deepEqual(filled, old)) object.spec = { ...object.spec, template: filled };
    return;
  }
  defaultRevisionSpec((template.spec ??= {}), context);
}

export function defaultRevision(revision: RevisionLike, context: AdmissionContext): void {
  if (context.operation === 'CREATE') defaultRevisionSpec((revision.spec ??= {}), context);
}

export function defaultTraffic(traffic: TrafficTarget[]): void {
  for (const target of traffic) {
    target.latestRevision ??= !target.revisionName;
    target.percent ??= 0;
  }
}

function defaultRevisionSpec(spec: RevisionSpec, context: AdmissionContext): void {
  const defaults = admissionConfig(context, 'defaults');
  if (!spec.timeoutSeconds) spec.timeoutSeconds = defaults.timeoutSeconds;
  const { responseStartTimeoutSeconds: start, idleTimeoutSeconds: idle } = defaults;
  if (start > 0 && start < spec.timeoutSeconds) spec.responseStartTimeoutSeconds ??= start;
  if (idle > 0 && idle < spec.timeoutSeconds) spec.idleTimeoutSeconds ??= idle;
  spec.containerConcurrency ??= defaults.containerConcurrency;
  if (context.operation === 'CREATE' && defaults.enableServiceLinks !== 'default') {
    spec.enableServiceLinks ??= defaults.enableServiceLinks === 'true';
  }
  const containers = spec.containers ?? [];
  nameContainers(containers, defaults.containerNameTemplate, spec.initContainers ?? []);
  nameContainers(spec.initContainers ?? [], defaults.initContainerNameTemplate, containers);
  for (const container of containers) defaultContainer(container, spec, containers.length, defaults);
  for (const container of spec.initContainers ?? []) defaultResources(container, defaults);
}

function nameContainers(
  containers: RevisionContainer[],
  template: string,
  others: readonly RevisionContainer[],
): void {
  const taken = new Set([...containers, ...others].map((container) => container.name));
  const single = containers.length === 1;
  let next = 0;
  for (const container of containers) {
    if (container.name) continue;
    let name = template;
    if (!single || taken.has(name)) {
      do name = `${template}-${next++}`;
      while (taken.has(name));
    }
    taken.add(name);
    container.name = name;
  }
}

function defaultContainer(
  container: RevisionContainer,
  spec: RevisionSpec,
  count: number,
  defaults: DefaultsConfig,
): void {
  defaultResources(container, defaults);
  if (count === 1 || (container.ports?.length ?? 0) > 0) {
    const probe = (container.readinessProbe ??= {});
    defaultProbe(probe);
    if (!probe.tcpSocket && !probe.httpGet && !probe.exec && !probe.grpc) probe.tcpSocket = { port: 0 };
    probe.successThreshold ??= 1;
  } else if (container.readinessProbe) defaultProbe(container.readinessProbe);
  if (container.livenessProbe) defaultProbe(container.livenessProbe);
  if (container.startupProbe) defaultProbe(container.startupProbe);
  const writable = new Set(
    (spec.volumes ?? [])
      .filter((v) => v.emptyDir || v.persistentVolumeClaim || v.ephemeral)
      .map((v) => v.name),
  );
  for (const mount of container.volumeMounts ?? []) if (!writable.has(mount.name)) mount.readOnly = true;
}

function defaultProbe(probe: RevisionProbe): void {
  if (probe.grpc) probe.grpc.service ??= '';
  if (probe.periodSeconds) {
    probe.failureThreshold ??= 3;
    probe.timeoutSeconds ??= 1;
  }
}

function defaultResources(container: RevisionContainer, defaults: DefaultsConfig): void {
  const resources: KubernetesTypes['core.v1.ResourceRequirements'] = (container.resources ??= {});
  const fill = (part: 'requests' | 'limits', values: Readonly<Record<string, string>>): void => {
    for (const [name, value] of Object.entries(values)) {
      if (value === '' || resources[part]?.[name] !== undefined) continue;
      (resources[part] ??= {})[name] = value;
    }
  };
  fill('requests', {
    cpu: defaults.cpuRequest,
    memory: defaults.memoryRequest,
    'ephemeral-storage': defaults.ephemeralStorageRequest,
  });
  fill('limits', {
    cpu: defaults.cpuLimit,
    memory: defaults.memoryLimit,
    'ephemeral-storage': defaults.ephemeralStorageLimit,
  });
}
