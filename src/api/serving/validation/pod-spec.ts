/** What a revision's pod spec may not say (knative/serving pkg/apis/serving `ValidatePodSpec`). */
import {
  disallowedField,
  fault,
  invalidValue,
  join,
  missingField,
  missingOneOf,
  multipleOneOf,
  outOfBounds,
} from '../../knative/field-errors.ts';
import { dnsSubdomainFault } from '../../kubernetes/names.ts';
import type { Issue } from '../../resource.ts';
import type { FeaturesConfig } from '../config/features.ts';
import type { RevisionContainer, RevisionProbe, RevisionSpec } from '../pod-spec.ts';

const reservedPorts = new Set([8008, 8012, 8013, 8022, 9090, 9091]);
const reservedMounts = new Set(['/', '/dev', '/dev/log']);
const reservedEnv = new Set(['K_SERVICE', 'K_CONFIGURATION', 'K_REVISION']);
const reservedContainers = new Set(['queue-proxy']);
const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Members of the pod spec that need a feature flag. */
const flagged = {
  affinity: 'affinity',
  topologySpreadConstraints: 'topologySpreadConstraints',
  hostAliases: 'hostAliases',
  nodeSelector: 'nodeSelector',
  tolerations: 'tolerations',
  runtimeClassName: 'runtimeClassName',
  dnsPolicy: 'dnsPolicy',
  dnsConfig: 'dnsConfig',
  shareProcessNamespace: 'shareProcessNamespace',
  hostIPC: 'hostIPC',
  hostPID: 'hostPID',
  hostNetwork: 'hostNetwork',
  priorityClassName: 'priorityClassName',
  schedulerName: 'schedulerName',
  initContainers: 'initContainers',
} as const satisfies Partial<Record<keyof RevisionSpec, keyof FeaturesConfig>>;

/** Faults of a pod spec at `path` (`spec.template.spec`). */
export function validatePodSpec(spec: RevisionSpec, features: FeaturesConfig, path: string): Issue[] {
  const issues: Issue[] = [];
  for (const [member, feature] of Object.entries(flagged) as [keyof typeof flagged, keyof FeaturesConfig][]) {
    const value = spec[member];
    const set = Array.isArray(value) ? value.length > 0 : Boolean(value);
    if (set && features[feature] === 'disabled') issues.push(disallowedField(join(path, member)));
  }
  if (spec.automountServiceAccountToken === true) {
    issues.push(invalidValue(true, join(path, 'automountServiceAccountToken')));
  }
  const accountFault = spec.serviceAccountName && dnsSubdomainFault(spec.serviceAccountName);
  if (accountFault) {
    issues.push(invalidValue(spec.serviceAccountName, join(path, 'serviceAccountName'), accountFault));
  }
  const volumes = validateVolumes(spec, features, path, issues);
  const containers = spec.containers ?? [];
  if (containers.length === 0) issues.push(missingField(join(path, 'containers')));
  if (containers.length > 1 && features.multiContainer === 'disabled') {
    issues.push(
      fault(`multi-container is off, but found ${containers.length} containers`, join(path, 'containers')),
    );
  }
  validatePorts(containers, path, issues);
  const mounted = new Set<string>();
  const probesEverywhere = features.multiContainerProbing === 'enabled';
  containers.forEach((container, i) => {
    const at =
      containers.length === 1 ? join(join(path, 'containers'), 0) : join(join(path, 'containers'), i);
    const serving = containers.length === 1 || (container.ports?.length ?? 0) > 0;
    validateContainer(container, {
      at,
      serving,
      probes: serving || probesEverywhere,
      features,
      volumes,
      mounted,
      issues,
    });
  });
  (spec.initContainers ?? []).forEach((container, i) => {
    const at = join(join(path, 'initContainers'), i);
    validateContainer(container, { at, serving: false, probes: false, features, volumes, mounted, issues });
    if (container.ports?.length) issues.push(disallowedField(join(at, 'ports')));
  });
  validateNames(spec, path, issues);
  for (const [name, at] of volumes) {
    if (!mounted.has(name))
      issues.push(fault(`volume with name ${JSON.stringify(name)} not mounted`, join(at, 'name')));
  }
  return issues;
}

function validateNames(spec: RevisionSpec, path: string, issues: Issue[]): void {
  const seen = new Set<string>();
  for (const member of ['containers', 'initContainers'] as const) {
    (spec[member] ?? []).forEach(({ name }, i) => {
      if (!name) return;
      const at = join(join(join(path, member), i), 'name');
      if (seen.has(name)) issues.push(fault(`duplicate container name ${JSON.stringify(name)}`, at));
      seen.add(name);
    });
  }
}

function validateVolumes(
  spec: RevisionSpec,
  features: FeaturesConfig,
  path: string,
  issues: Issue[],
): Map<string, string> {
  const volumes = new Map<string, string>();
  const sources = [
    'configMap',
    'secret',
    'projected',
    'emptyDir',
    'persistentVolumeClaim',
    'hostPath',
    'csi',
    'ephemeral',
    'image',
  ] as const;
  const flags = {
    emptyDir: 'emptyDir',
    persistentVolumeClaim: 'persistentVolumeClaim',
    hostPath: 'hostPath',
    csi: 'csi',
    ephemeral: 'ephemeralVolumes',
    image: 'imageVolumes',
  } as const;
  (spec.volumes ?? []).forEach((volume, i) => {
    const at = join(join(path, 'volumes'), i);
    if (!volume.name) issues.push(missingField(join(at, 'name')));
    else if (!dnsLabel.test(volume.name)) issues.push(invalidValue(volume.name, join(at, 'name')));
    else if (volumes.has(volume.name)) {
      issues.push(fault(`duplicate volume name ${JSON.stringify(volume.name)}`, join(at, 'name')));
    } else volumes.set(volume.name, at);
    const set = sources.filter((source) => volume[source] !== undefined);
    for (const key of Object.keys(volume)) {
      if (key !== 'name' && !(sources as readonly string[]).includes(key))
        issues.push(disallowedField(join(at, key)));
    }
    for (const source of set) {
      const flag = source in flags ? flags[source as keyof typeof flags] : undefined;
      if (flag && features[flag] === 'disabled') issues.push(disallowedField(join(at, source)));
    }
    const offered = ['configMap', 'projected', 'secret', 'emptyDir'].map((source) => join(at, source));
    if (set.length === 0) issues.push(missingOneOf(...offered));
    if (set.length > 1) issues.push(multipleOneOf(...set.map((source) => join(at, source))));
  });
  return volumes;
}

function validatePorts(containers: readonly RevisionContainer[], path: string, issues: Issue[]): void {
  const withPorts = containers.filter((container) => (container.ports?.length ?? 0) > 0);
  const at = join(path, 'containers');
  if (containers.length > 1 && withPorts.length === 0) issues.push(missingField(`${at}[*].ports`));
  const count = withPorts.reduce((sum, container) => sum + (container.ports?.length ?? 0), 0);
  if (count > 1) {
    const where =
      withPorts.length === 1 ? `${at}[${containers.indexOf(withPorts[0] ?? {})}].ports` : `${at}[*].ports`;
    issues.push(
      fault(
        'more than one container port is set',
        where,
        'Only a single port is allowed across all containers',
      ),
    );
  }
}

interface ContainerCheck {
  readonly at: string;
  /** The container that answers requests. */
  readonly serving: boolean;
  readonly probes: boolean;
  readonly features: FeaturesConfig;
  readonly volumes: ReadonlyMap<string, string>;
  readonly mounted: Set<string>;
  readonly issues: Issue[];
}

function validateContainer(container: RevisionContainer, check: ContainerCheck): void {
  const { at, issues, serving } = check;
  const { name, image } = container;
  if (name && reservedContainers.has(name)) {
    issues.push(fault(`${JSON.stringify(name)} is a reserved container name`, join(at, 'name')));
  } else if (name && !dnsLabel.test(name)) {
    issues.push(invalidValue(name, join(at, 'name'), 'not a DNS 1123 label prefix'));
  }
  if (!image) issues.push(missingField(join(at, 'image')));
  else if (!imageReference.test(image)) {
    issues.push(invalidValue(image, join(at, 'image'), 'could not parse reference'));
  }
  validateEnv(container, check);
  if (serving) validatePort(container, at, issues);
  validateMounts(container, check);
  validateSecurityContext(container, check);
  for (const kind of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    const probe = container[kind];
    if (!probe) continue;
    if (!check.probes) issues.push(disallowedField(join(at, kind)));
    else validateProbe(probe, join(at, kind), issues, kind !== 'readinessProbe');
  }
  const { terminationMessagePolicy: policy, imagePullPolicy: pull } = container;
  if (policy && policy !== 'File' && policy !== 'FallbackToLogsOnError') {
    issues.push(invalidValue(policy, join(at, 'terminationMessagePolicy')));
  }
  if (pull && pull !== 'Always' && pull !== 'Never' && pull !== 'IfNotPresent') {
    issues.push(invalidValue(pull, join(at, 'imagePullPolicy')));
  }
}

/** A registry reference: path of lower-case parts, optional tag and digest. */
const imageReference =
  /^[a-zA-Z0-9][a-zA-Z0-9.-]*(:\d+)?(\/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@[a-z0-9]+:[a-f0-9]{32,})?$/;

function validateEnv(container: RevisionContainer, { at, serving, features, issues }: ContainerCheck): void {
  (container.env ?? []).forEach(({ name, valueFrom }, i) => {
    const path = join(join(at, 'env'), i);
    if (!name) issues.push(missingField(join(path, 'name')));
    else if (reservedEnv.has(name) || (serving && name === 'PORT')) {
      issues.push(fault(`${JSON.stringify(name)} is a reserved environment variable`, join(path, 'name')));
    }
    if (!valueFrom || features.fieldRef !== 'disabled') return;
    for (const member of ['fieldRef', 'resourceFieldRef'] as const) {
      if (valueFrom[member]) issues.push(disallowedField(join(path, `valueFrom.${member}`)));
    }
  });
  (container.envFrom ?? []).forEach(({ configMapRef, secretRef }, i) => {
    const path = join(join(at, 'envFrom'), i);
    const both = [join(path, 'configMapRef'), join(path, 'secretRef')];
    if (!configMapRef && !secretRef) issues.push(missingOneOf(...both));
    if (configMapRef && secretRef) issues.push(multipleOneOf(...both));
  });
}

function validatePort(container: RevisionContainer, at: string, issues: Issue[]): void {
  const port = container.ports?.[0];
  if (!port) return;
  const path = join(at, 'ports');
  if (port.hostIP) issues.push(disallowedField(join(path, 'hostIP')));
  if (port.hostPort) issues.push(disallowedField(join(path, 'hostPort')));
  // Go programs send 0 for a port that they leave out.
  if (port.containerPort < 0 || port.containerPort > 65_535) {
    issues.push(outOfBounds(port.containerPort, 0, 65_535, join(path, 'containerPort')));
  } else if (reservedPorts.has(port.containerPort)) {
    const reserved = [...reservedPorts].join(', ');
    issues.push(
      fault(
        `${port.containerPort} is a reserved port`,
        join(path, 'containerPort'),
        `Reserved ports are: ${reserved}`,
      ),
    );
  }
  if (port.protocol && port.protocol !== 'TCP')
    issues.push(invalidValue(port.protocol, join(path, 'protocol')));
  if (port.name && !['h2c', 'http1', 'user-port'].includes(port.name)) {
    issues.push(
      fault(`Port name ${port.name} is not allowed`, path, "Name must be empty, or one of: 'h2c', 'http1'"),
    );
  }
}

function validateMounts(container: RevisionContainer, check: ContainerCheck): void {
  const { at, volumes, mounted, issues, features } = check;
  const seen = new Set<string>();
  (container.volumeMounts ?? []).forEach((mount, i) => {
    const path = join(join(at, 'volumeMounts'), i);
    if (!mount.name) issues.push(missingField(join(path, 'name')));
    else if (!volumes.has(mount.name)) {
      issues.push(fault('volumeMount has no matching volume', join(path, 'name')));
    }
    mounted.add(mount.name);
    const target = mount.mountPath ?? '';
    const clean = target.length > 1 ? target.replace(/\/+$/, '') : target;
    if (target === '') issues.push(missingField(join(path, 'mountPath')));
    else if (reservedMounts.has(clean)) {
      issues.push(fault(`mountPath ${JSON.stringify(clean)} is a reserved path`, join(path, 'mountPath')));
    } else if (!target.startsWith('/')) issues.push(invalidValue(target, join(path, 'mountPath')));
    else if (seen.has(clean)) {
      issues.push(fault(`${JSON.stringify(target)} must be unique`, join(path, 'mountPath')));
    }
    seen.add(clean);
    if (mount.mountPropagation && features.mountPropagation === 'disabled') {
      issues.push(disallowedField(join(path, 'mountPropagation')));
    }
  });
}

function validateSecurityContext(
  container: RevisionContainer,
  { at, features, issues }: ContainerCheck,
): void {
  const context = container.securityContext;
  if (!context) return;
  const path = join(at, 'securityContext');
  if (context.privileged === true) issues.push(invalidValue(true, join(path, 'privileged')));
  if (context.procMount) issues.push(disallowedField(join(path, 'procMount')));
  if (context.capabilities?.add?.length && features.addCapabilities === 'disabled') {
    const added = context.capabilities.add;
    if (added.some((capability) => capability !== 'NET_BIND_SERVICE')) {
      issues.push(disallowedField(join(path, 'capabilities.add')));
    }
  }
  for (const member of ['runAsUser', 'runAsGroup'] as const) {
    const id = context[member];
    if (id !== undefined && (id < 0 || id > 2_147_483_647)) {
      issues.push(outOfBounds(id, 0, 2_147_483_647, join(path, member)));
    }
  }
}

function validateProbe(probe: RevisionProbe, path: string, issues: Issue[], handlerRequired: boolean): void {
  const handlers = (['exec', 'grpc', 'httpGet', 'tcpSocket'] as const).filter(
    (kind) => probe[kind] !== undefined,
  );
  const all = ['exec', 'grpc', 'httpGet', 'tcpSocket'];
  if (handlers.length === 0 && handlerRequired)
    issues.push(missingOneOf(...all.map((kind) => join(path, kind))));
  if (handlers.length > 1) issues.push(multipleOneOf(...handlers.map((kind) => join(path, kind))));
  for (const member of ['initialDelaySeconds', 'periodSeconds'] as const) {
    const value = probe[member];
    if (value !== undefined && value < 0)
      issues.push(outOfBounds(value, 0, 2_147_483_647, join(path, member)));
  }
  const period = probe.periodSeconds ?? 0;
  for (const member of ['failureThreshold', 'timeoutSeconds'] as const) {
    const value = probe[member];
    if (value === undefined) continue;
    if (period === 0 && value !== 0 && !handlerRequired) {
      issues.push(fault(`${member} is disallowed when periodSeconds is zero`, join(path, member)));
    } else if (value < 0 || (value === 0 && period > 0)) {
      issues.push(outOfBounds(value, 1, 2_147_483_647, join(path, member)));
    }
  }
  const success = probe.successThreshold;
  if (success !== undefined && success < 1) {
    issues.push(outOfBounds(success, 1, 2_147_483_647, join(path, 'successThreshold')));
  }
}
