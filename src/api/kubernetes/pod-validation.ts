/** Faults of pods and pod templates (kubernetes pkg/apis/core/validation), for what users meet. */
import { deepEqual } from '../../base/json.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Container, Pod } from '../pods.ts';
import type { AdmissionContext, Issue } from '../resource.ts';
import { ephemeralContainerIssues } from './ephemeral-containers.ts';
import { annotationIssues, labelIssues } from './metadata.ts';
import {
  configKeyFault,
  dnsLabelFault,
  dnsSubdomainFault,
  environmentNameFault,
  portNameFault,
  portNumberFault,
} from './names.ts';
import type { PodSpec, PodTemplateSpec } from './pod-defaults.ts';
import { compareQuantities, parseQuantity } from './quantity.ts';

type Probe = KubernetesTypes['core.v1.Probe'];
type EnvVar = KubernetesTypes['core.v1.EnvVar'];

class Faults {
  readonly issues: Issue[] = [];
  required(path: string, detail = ''): void {
    this.issues.push({ type: 'Required', path, detail });
  }
  invalid(path: string, value: unknown, detail: string | undefined): void {
    if (detail !== undefined) this.issues.push({ type: 'Invalid', path, value, detail });
  }
  oneOf(path: string, value: string | undefined, supported: readonly string[]): void {
    if (value === undefined || supported.includes(value)) return;
    const names = supported.map((name) => JSON.stringify(name)).join(', ');
    this.issues.push({ type: 'NotSupported', path, value, detail: `supported values: ${names}` });
  }
  forbidden(path: string, detail: string): void {
    this.issues.push({ type: 'Forbidden', path, detail });
  }
  duplicate(path: string, value: unknown): void {
    this.issues.push({ type: 'Duplicate', path, value, detail: '' });
  }
}

/** Faults of a Pod beyond its metadata, also against its stored version on UPDATE. */
export function podIssues(pod: Pod, context: AdmissionContext): Issue[] {
  if (!pod.spec) return [{ type: 'Required', path: 'spec.containers', detail: '' }];
  const old: Pod | undefined = context.old;
  if (!old?.spec) {
    const given = (pod.spec.ephemeralContainers?.length ?? 0) > 0;
    return [
      ...podSpecIssues(pod.spec, 'spec'),
      ...(given ? [forbidden('spec.ephemeralContainers', 'cannot be set on create')] : []),
    ];
  }
  // What is stored was valid once, and most updates leave the spec alone.
  if (context.subresource === 'status' || deepEqual(old.spec, pod.spec)) return [];
  if (context.subresource === 'ephemeralcontainers') {
    return ephemeralContainerIssues(pod.spec, old.spec, 'spec.ephemeralContainers');
  }
  return [...podSpecIssues(pod.spec, 'spec'), ...immutableIssues(pod.spec, old.spec)];
}

function forbidden(path: string, detail: string): Issue {
  return { type: 'Forbidden', path, detail };
}

const immutableWords =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,' +
  '`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),' +
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

function immutableIssues(next: PodSpec, old: PodSpec): Issue[] {
  const before = mutableParts(old);
  const after = mutableParts(next);
  // What the scheduler's binding does on a real cluster.
  if (before.nodeName === undefined) delete after.nodeName;
  const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (key) => !deepEqual(before[key as keyof PodSpec], after[key as keyof PodSpec]),
  );
  if (changed.length === 0) return [];
  const names = changed.map((key) => `spec.${key}`).join(', ');
  return [{ type: 'Forbidden', path: 'spec', detail: `${immutableWords}\nchanged: ${names}` }];
}

/** A copy of the spec without what may change. */
function mutableParts(spec: PodSpec): PodSpec {
  const copy: PodSpec = { ...spec };
  delete copy.activeDeadlineSeconds;
  delete copy.tolerations;
  delete copy.schedulingGates;
  const withoutImage = (container: Container): Container => ({ ...container, image: '' });
  // Its absence is a fault of form, which is found beside.
  const { containers } = spec as Partial<PodSpec>;
  if (containers) copy.containers = containers.map(withoutImage);
  if (spec.initContainers) copy.initContainers = spec.initContainers.map(withoutImage);
  return copy;
}

/** Faults of a template: its labels, annotations and pod spec. `path` is where the template is. */
export function podTemplateIssues(template: PodTemplateSpec | undefined, path: string): Issue[] {
  if (!template?.spec) return [{ type: 'Required', path: `${path}.spec.containers`, detail: '' }];
  return [
    ...labelIssues(template.metadata?.labels, `${path}.labels`),
    ...annotationIssues(template.metadata?.annotations, `${path}.annotations`),
    ...podSpecIssues(template.spec, `${path}.spec`),
  ];
}

/** Faults of a pod spec. `path` is where it is (`spec`, `spec.template.spec`). */
function podSpecIssues(spec: PodSpec, path: string): Issue[] {
  const faults = new Faults();
  const volumes = checkVolumes(faults, spec, `${path}.volumes`);
  const names = new Set<string>();
  if (!spec.containers || spec.containers.length === 0) faults.required(`${path}.containers`);
  (spec.containers ?? []).forEach((container, i) => {
    checkContainer(faults, container, `${path}.containers[${i}]`, names, volumes);
  });
  (spec.initContainers ?? []).forEach((container, i) => {
    const at = `${path}.initContainers[${i}]`;
    checkContainer(faults, container, at, names, volumes);
    if (container.restartPolicy === 'Always') return;
    for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle'] as const) {
      if (container[probe]) {
        faults.forbidden(`${at}.${probe}`, 'may not be set for init containers without restartPolicy=Always');
      }
    }
  });
  faults.oneOf(`${path}.restartPolicy`, spec.restartPolicy, ['Always', 'OnFailure', 'Never']);
  const dnsPolicies = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];
  faults.oneOf(`${path}.dnsPolicy`, spec.dnsPolicy, dnsPolicies);
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2147483647)) {
    faults.invalid(`${path}.activeDeadlineSeconds`, deadline, 'must be between 1 and 2147483647, inclusive');
  }
  for (const member of ['serviceAccountName', 'nodeName', 'priorityClassName', 'runtimeClassName'] as const) {
    const value = spec[member];
    if (value) faults.invalid(`${path}.${member}`, value, dnsSubdomainFault(value));
  }
  checkSysctls(faults, spec, `${path}.securityContext.sysctls`);
  for (const member of ['hostname', 'subdomain'] as const) {
    const value = spec[member];
    if (value) faults.invalid(`${path}.${member}`, value, dnsLabelFault(value));
  }
  return [...faults.issues, ...labelIssues(spec.nodeSelector, `${path}.nodeSelector`)];
}

const sysctlSegment = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const sysctlName = `^(${sysctlSegment}[\\./])*${sysctlSegment}$`;
const maxSysctlName = 253;

function checkSysctls(faults: Faults, spec: PodSpec, path: string): void {
  const names = new Set<string>();
  (spec.securityContext?.sysctls ?? []).forEach(({ name }, i) => {
    const at = `${path}[${i}].name`;
    if (!name) faults.required(at);
    else if (name.length > maxSysctlName || !new RegExp(sysctlName).test(name)) {
      faults.invalid(at, name, `must have at most ${maxSysctlName} characters and match regex ${sysctlName}`);
    } else if (names.has(name)) faults.duplicate(at, name);
    names.add(name);
  });
}

function checkVolumes(faults: Faults, spec: PodSpec, path: string): Set<string> {
  const names = new Set<string>();
  (spec.volumes ?? []).forEach((volume, i) => {
    const at = `${path}[${i}]`;
    if (!volume.name) faults.required(`${at}.name`);
    else faults.invalid(`${at}.name`, volume.name, dnsLabelFault(volume.name));
    if (names.has(volume.name)) faults.duplicate(`${at}.name`, volume.name);
    names.add(volume.name);
    const sources = Object.keys(volume).filter((key) => key !== 'name');
    if (sources.length > 1)
      faults.forbidden(`${at}.${sources[1]}`, 'may not specify more than 1 volume type');
    if (volume.secret && !volume.secret.secretName) faults.required(`${at}.secret.secretName`);
    if (volume.configMap && !volume.configMap.name) faults.required(`${at}.configMap.name`);
    if (volume.hostPath && !volume.hostPath.path) faults.required(`${at}.hostPath.path`);
    if (volume.persistentVolumeClaim && !volume.persistentVolumeClaim.claimName) {
      faults.required(`${at}.persistentVolumeClaim.claimName`);
    }
  });
  return names;
}

function checkContainer(
  faults: Faults,
  container: Container,
  at: string,
  names: Set<string>,
  volumes: ReadonlySet<string>,
): void {
  if (!container.name) faults.required(`${at}.name`);
  else faults.invalid(`${at}.name`, container.name, dnsLabelFault(container.name));
  if (container.name && names.has(container.name)) faults.duplicate(`${at}.name`, container.name);
  names.add(container.name);
  if (!container.image) faults.required(`${at}.image`);
  else if (container.image.trim() !== container.image) {
    faults.invalid(`${at}.image`, container.image, 'must not have leading or trailing whitespace');
  }
  faults.oneOf(`${at}.imagePullPolicy`, container.imagePullPolicy, ['Always', 'IfNotPresent', 'Never']);
  const messagePolicies = ['File', 'FallbackToLogsOnError'];
  faults.oneOf(`${at}.terminationMessagePolicy`, container.terminationMessagePolicy, messagePolicies);
  checkPorts(faults, container, `${at}.ports`);
  checkEnvironment(faults, container, at);
  checkMounts(faults, container, `${at}.volumeMounts`, volumes);
  checkResources(faults, container, `${at}.resources`);
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    const probe = container[name];
    if (probe) checkProbe(faults, probe, `${at}.${name}`, name !== 'readinessProbe');
  }
}

function checkPorts(faults: Faults, container: Container, path: string): void {
  const names = new Set<string>();
  (container.ports ?? []).forEach((port, i) => {
    const at = `${path}[${i}]`;
    if (port.name) {
      faults.invalid(`${at}.name`, port.name, portNameFault(port.name));
      if (names.has(port.name)) faults.duplicate(`${at}.name`, port.name);
      names.add(port.name);
    }
    if (!port.containerPort) faults.required(`${at}.containerPort`);
    else faults.invalid(`${at}.containerPort`, port.containerPort, portNumberFault(port.containerPort));
    if (port.hostPort) faults.invalid(`${at}.hostPort`, port.hostPort, portNumberFault(port.hostPort));
    faults.oneOf(`${at}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']);
  });
}

const valueSources = [
  'fieldRef',
  'resourceFieldRef',
  'configMapKeyRef',
  'secretKeyRef',
  'fileKeyRef',
] as const;

function checkEnvironment(faults: Faults, container: Container, at: string): void {
  (container.env ?? []).forEach((variable, i) => {
    const path = `${at}.env[${i}]`;
    if (!variable.name) faults.required(`${path}.name`);
    else faults.invalid(`${path}.name`, variable.name, environmentNameFault(variable.name));
    if (variable.valueFrom) checkValueFrom(faults, variable, `${path}.valueFrom`);
  });
  (container.envFrom ?? []).forEach((source, i) => {
    const path = `${at}.envFrom[${i}]`;
    if (!source.configMapRef && !source.secretRef) {
      faults.invalid(path, '', 'must specify one of: `configMapRef` or `secretRef`');
    }
    if (source.configMapRef && !source.configMapRef.name) faults.required(`${path}.configMapRef.name`);
    if (source.secretRef && !source.secretRef.name) faults.required(`${path}.secretRef.name`);
  });
}

function checkValueFrom(faults: Faults, variable: EnvVar, path: string): void {
  const from = variable.valueFrom ?? {};
  const set = valueSources.filter((source) => from[source] !== undefined);
  if (set.length === 0) {
    const names = 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`';
    faults.invalid(path, '', names);
  } else if (variable.value) {
    faults.invalid(path, '', 'may not be specified when `value` is not empty');
  } else if (set.length > 1) {
    faults.invalid(path, '', 'may not have more than one field specified at a time');
  }
  for (const member of ['configMapKeyRef', 'secretKeyRef'] as const) {
    const reference = from[member];
    if (!reference) continue;
    if (!reference.name) faults.required(`${path}.${member}.name`);
    if (!reference.key) faults.required(`${path}.${member}.key`);
    else faults.invalid(`${path}.${member}.key`, reference.key, configKeyFault(reference.key));
  }
}

function checkMounts(faults: Faults, container: Container, path: string, volumes: ReadonlySet<string>): void {
  const seen = new Set<string>();
  (container.volumeMounts ?? []).forEach((mount, i) => {
    const at = `${path}[${i}]`;
    if (!mount.name) faults.required(`${at}.name`);
    else if (!volumes.has(mount.name)) {
      faults.issues.push({ type: 'NotFound', path: `${at}.name`, value: mount.name, detail: '' });
    }
    if (!mount.mountPath) faults.required(`${at}.mountPath`);
    if (seen.has(mount.mountPath)) faults.invalid(`${at}.mountPath`, mount.mountPath, 'must be unique');
    seen.add(mount.mountPath);
    if (mount.subPath?.startsWith('/'))
      faults.invalid(`${at}.subPath`, mount.subPath, 'must be a relative path');
    if (mount.subPath?.split('/').includes('..')) {
      faults.invalid(`${at}.subPath`, mount.subPath, "must not contain '..'");
    }
  });
}

const quantityForm =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

function checkResources(faults: Faults, container: Container, path: string): void {
  const { limits = {}, requests = {} } = container.resources ?? {};
  for (const [list, values] of Object.entries({ limits, requests })) {
    for (const [name, text] of Object.entries(values)) {
      const at = `${path}.${list}[${name}]`;
      const value = parseQuantity(text);
      if (value === undefined) faults.invalid(at, text, quantityForm);
      else if (value < 0) faults.invalid(at, text, 'must be greater than or equal to 0');
      if (!/^(cpu|memory|ephemeral-storage|hugepages-.+|.+\/.+)$/.test(name)) {
        faults.invalid(at, name, 'must be a standard resource type or fully qualified');
      }
    }
  }
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    if (limit !== undefined && compareQuantities(request, limit) > 0) {
      const detail = `must be less than or equal to ${name} limit of ${limit}`;
      faults.invalid(`${path}.requests`, request, detail);
    }
  }
}

/** Liveness and startup probes may only have a success threshold of 1. */
function checkProbe(faults: Faults, probe: Probe, path: string, successIsOne: boolean): void {
  const handlers = (['exec', 'httpGet', 'tcpSocket', 'grpc'] as const).filter((kind) => probe[kind]);
  if (handlers.length === 0) faults.required(path, 'must specify a handler type');
  for (const extra of handlers.slice(1)) {
    faults.forbidden(`${path}.${extra}`, 'may not specify more than 1 handler type');
  }
  for (const member of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const) {
    const value = probe[member];
    if (value !== undefined && value < 0) {
      faults.invalid(`${path}.${member}`, value, 'must be greater than or equal to 0');
    }
  }
  if (successIsOne && (probe.successThreshold ?? 1) !== 1) {
    faults.invalid(`${path}.successThreshold`, probe.successThreshold, 'must be 1');
  }
  for (const kind of ['httpGet', 'tcpSocket'] as const) {
    const port = probe[kind]?.port;
    if (typeof port === 'number') faults.invalid(`${path}.${kind}.port`, port, portNumberFault(port));
    else if (port !== undefined) faults.invalid(`${path}.${kind}.port`, port, portNameFault(port));
  }
}
