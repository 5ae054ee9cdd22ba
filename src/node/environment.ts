/** A container's environment and command, merged from the image, the pod and what the pod refers to. */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import { parseQuantity } from '../api/kubernetes/quantity.ts';
import type { Container, Pod } from '../api/pods.ts';
import { KnapsackError } from '../base/errors.ts';
import type { ImageConfig } from './images.ts';

type EnvVar = KubernetesTypes['core.v1.EnvVar'];

/** Data of ConfigMaps and Secrets in the pod's namespace, by name; undefined when there is none. */
export interface References {
  configMap(name: string): ReadonlyMap<string, Buffer> | undefined;
  secret(name: string): ReadonlyMap<string, Buffer> | undefined;
}

/** What the node knows and the pod object may not yet say. */
export interface NodeFacts {
  readonly nodeName: string;
  readonly hostIP: string;
  readonly podIP: string;
  readonly allocatableCpu: number;
  readonly allocatableMemory: number;
  readonly allocatableStorage: number;
}

function configError(message: string): never {
  throw new KnapsackError('NODE_CONTAINER_CONFIG', message);
}

/**
 * `$(NAME)` becomes the value of NAME, `$$(NAME)` the text `$(NAME)`; unknown names stay as they are
 * (kubernetes third_party/forked/golang/expansion).
 */
export function expand(text: string, values: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (whole, name: string | undefined) =>
    name === undefined ? '$' : (values.get(name) ?? whole),
  );
}

/** Names of the ConfigMaps and Secrets that the environment of the container reads. */
export function environmentReferences(container: Container): { configMaps: string[]; secrets: string[] } {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    if (configMapRef?.name) configMaps.add(configMapRef.name);
    if (secretRef?.name) secrets.add(secretRef.name);
  }
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.configMapKeyRef?.name) configMaps.add(valueFrom.configMapKeyRef.name);
    if (valueFrom?.secretKeyRef?.name) secrets.add(valueFrom.secretKeyRef.name);
  }
  return { configMaps: [...configMaps], secrets: [...secrets] };
}

/** The environment: image, then service links, then envFrom, then env; a later name replaces an earlier one. */
export function makeEnvironment(
  pod: Pod,
  container: Container,
  image: ImageConfig,
  serviceEnv: ReadonlyMap<string, string>,
  references: References,
  facts: NodeFacts,
): Map<string, string> {
  const result = new Map<string, string>();
  for (const entry of image.Env ?? []) {
    const at = entry.indexOf('=');
    if (at > 0) result.set(entry.slice(0, at), entry.slice(at + 1));
  }
  if (!result.has('PATH')) {
    result.set('PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
  }
  result.set('HOSTNAME', hostnameOf(pod));
  for (const [name, value] of serviceEnv) result.set(name, value);
  // `$(NAME)` sees what the pod and the services define, not what the image brings.
  const visible = new Map(serviceEnv);
  const set = (name: string, value: string): void => {
    result.set(name, value);
    visible.set(name, value);
  };
  for (const [name, value] of importedVariables(container, references)) set(name, value);
  for (const variable of container.env ?? []) {
    const value = valueOf(pod, container, variable, visible, references, facts);
    if (value !== undefined) set(variable.name, value);
  }
  return result;
}

function importedVariables(container: Container, references: References): Map<string, string> {
  const result = new Map<string, string>();
  for (const source of container.envFrom ?? []) {
    const ref = source.configMapRef ?? source.secretRef;
    const kind = source.configMapRef ? 'configmap' : 'secret';
    const name = ref?.name ?? '';
    const data = kind === 'configmap' ? references.configMap(name) : references.secret(name);
    if (!data) {
      if (ref?.optional) continue;
      configError(`${kind} "${name}" not found`);
    }
    for (const [key, value] of data) {
      const variable = (source.prefix ?? '') + key;
      // Kubernetes skips keys that are no variable names.
      if (/^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(variable)) result.set(variable, value.toString('utf8'));
    }
  }
  return result;
}

function valueOf(
  pod: Pod,
  container: Container,
  variable: EnvVar,
  visible: ReadonlyMap<string, string>,
  references: References,
  facts: NodeFacts,
): string | undefined {
  const from = variable.valueFrom;
  if (!from) return expand(variable.value ?? '', visible);
  if (from.fieldRef) return fieldValue(pod, from.fieldRef.fieldPath, facts);
  if (from.resourceFieldRef) return resourceValue(pod, container, from.resourceFieldRef, facts);
  const ref = from.configMapKeyRef ?? from.secretKeyRef;
  if (!ref) configError(`environment variable ${variable.name} has a source that is not supported`);
  const kind = from.configMapKeyRef ? 'configmap' : 'secret';
  const name = ref.name ?? '';
  const data = from.configMapKeyRef ? references.configMap(name) : references.secret(name);
  const value = data?.get(ref.key);
  if (value) return value.toString('utf8');
  if (ref.optional) return undefined;
  if (!data) configError(`${kind} "${name}" not found`);
  const owner = kind === 'configmap' ? 'ConfigMap' : 'Secret';
  return configError(`couldn't find key ${ref.key} in ${owner} ${pod.metadata.namespace}/${name}`);
}

/** A downward API field (kubernetes pkg/fieldpath and kubelet `podFieldSelectorRuntimeValue`). */
export function fieldValue(pod: Pod, path: string, facts: NodeFacts): string {
  const subscript = /^metadata\.(annotations|labels)\['(.*)'\]$/.exec(path);
  if (subscript) return pod.metadata[subscript[1] as 'annotations' | 'labels']?.[subscript[2] ?? ''] ?? '';
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name;
    case 'metadata.namespace':
      return pod.metadata.namespace ?? '';
    case 'metadata.uid':
      return pod.metadata.uid ?? '';
    case 'metadata.labels':
      return formatMap(pod.metadata.labels);
    case 'metadata.annotations':
      return formatMap(pod.metadata.annotations);
    case 'spec.nodeName':
      return facts.nodeName;
    case 'spec.serviceAccountName':
      return pod.spec?.serviceAccountName ?? 'default';
    case 'status.hostIP':
    case 'status.hostIPs':
      return facts.hostIP;
    case 'status.podIP':
    case 'status.podIPs':
      return facts.podIP;
    default:
      return configError(`field path "${path}" is not supported`);
  }
}

function formatMap(map: { [key: string]: string } | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

/** A downward API resource, in units of the divisor, rounded up. A missing limit is the node's allocatable. */
export function resourceValue(
  pod: Pod,
  container: Container,
  selector: KubernetesTypes['core.v1.ResourceFieldSelector'],
  facts: NodeFacts,
): string {
  const named = selector.containerName;
  const target =
    named === undefined || named === ''
      ? container
      : [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find((c) => c.name === named);
  if (!target) configError(`container "${named}" not found`);
  const [section, resource = ''] = selector.resource.split(/\.(.*)/s);
  const { limits, requests } = target.resources ?? {};
  const defaults: Record<string, number> = {
    cpu: facts.allocatableCpu,
    memory: facts.allocatableMemory,
    'ephemeral-storage': facts.allocatableStorage,
  };
  let value: number | undefined;
  if (section === 'limits') value = parseQuantity(limits?.[resource] ?? '') ?? defaults[resource];
  else if (section === 'requests')
    value = parseQuantity(requests?.[resource] ?? limits?.[resource] ?? '') ?? 0;
  if (value === undefined) configError(`resource "${selector.resource}" is not supported`);
  const divisor = parseQuantity(selector.divisor ?? '1') ?? 1;
  return String(Math.ceil(Number((value / (divisor === 0 ? 1 : divisor)).toFixed(6))));
}

/** The command line: the pod's `command` replaces entrypoint and cmd, its `args` only cmd. Throws without any. */
export function makeCommand(
  container: Container,
  image: ImageConfig,
  env: ReadonlyMap<string, string>,
): string[] {
  const command = container.command?.map((part) => expand(part, env));
  const args = container.args?.map((part) => expand(part, env));
  const whole =
    command && command.length > 0
      ? [...command, ...(args ?? [])]
      : [...(image.Entrypoint ?? []), ...(args && args.length > 0 ? args : (image.Cmd ?? []))];
  if (whole.length === 0 || whole[0] === '') configError('no command specified');
  return whole;
}

/** The pod's host name: `spec.hostname`, or its name cut to 63 characters. */
export function hostnameOf(pod: Pod): string {
  return pod.spec?.hostname ?? pod.metadata.name.slice(0, 63).replace(/[-.]+$/, '');
}
