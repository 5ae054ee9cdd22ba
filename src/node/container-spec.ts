/** What a driver needs to start one container, from pod, image and volumes. */
import { closeSync, openSync, chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseQuantity } from '../api/kubernetes/quantity.ts';
import type { Container, Pod } from '../api/pods.ts';
import { KnapsackError } from '../base/errors.ts';
import type { ContainerSpec, Sandbox, SandboxSpec } from './drivers/driver.ts';
import {
  environmentReferences,
  hostnameOf,
  makeCommand,
  makeEnvironment,
  type References,
} from './environment.ts';
import type { UnpackedImage } from './images.ts';
import { sysctlsOf } from './pod-admission.ts';
import { fullHostnameOf, makePodDns } from './pod-dns.ts';
import { resolvePort } from './probe.ts';
import { makeFifos } from './streams/pipes.ts';
import { resolveUser } from './users.ts';
import type { PodVolumes } from './volumes.ts';
import type { WorkerEnv } from './worker-env.ts';

const defaultMessagePath = '/dev/termination-log';

/** `<pod uid>_<container>_<attempt>`: sorts and sweeps by pod. */
function containerId(pod: Pod, container: Container, attempt: number): string {
  return `${pod.metadata.uid}_${container.name}_${attempt}`;
}

export function podDir(env: Pick<WorkerEnv, 'podsDir'>, pod: Pod): string {
  const uid = pod.metadata.uid ?? '';
  // The uid becomes a directory name and a part of shell words.
  if (!/^[a-zA-Z0-9-]{1,64}$/.test(uid)) {
    throw new KnapsackError('NODE_CONTAINER_CONFIG', `pod uid ${JSON.stringify(uid)} is not usable`);
  }
  return join(env.podsDir, uid);
}

/** Ports that the pod's containers listen on: declared, probed, or named in PORT. */
function podPorts(pod: Pod): number[] {
  const ports = new Set<number>();
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  for (const container of containers) {
    for (const { containerPort } of container.ports ?? []) ports.add(containerPort);
    const port = Number(container.env?.find((variable) => variable.name === 'PORT')?.value);
    if (Number.isInteger(port) && port > 0 && port < 65_536) ports.add(port);
    for (const probe of [container.readinessProbe, container.livenessProbe, container.startupProbe]) {
      const wanted = probe?.httpGet?.port ?? probe?.tcpSocket?.port ?? probe?.grpc?.port;
      const resolved = wanted === undefined ? undefined : resolvePort(container, wanted);
      if (resolved !== undefined) ports.add(resolved);
    }
  }
  return [...ports];
}

export function makeSandboxSpec(env: WorkerEnv, pod: Pod): SandboxSpec {
  const { namespace = '', name, uid = '' } = pod.metadata;
  return {
    pod: { namespace, name, uid },
    dir: podDir(env, pod),
    hostname: hostnameOf(pod),
    fullHostname: fullHostnameOf(pod, env.clusterDns?.domain ?? 'cluster.local'),
    hostNetwork: pod.spec?.hostNetwork ?? false,
    hostIP: env.hostIP,
    ports: podPorts(pod),
    hostAliases: (pod.spec?.hostAliases ?? []).map(({ ip, hostnames }) => ({ ip, names: hostnames ?? [] })),
    dns: makePodDns(pod, env.clusterDns),
  };
}

/** Path of the file that the container's termination message goes to. */
export function messageFile(dir: string, container: Container, attempt: number): string {
  return join(dir, 'logs', container.name, `${attempt}.message`);
}

/** Throws NODE_CONTAINER_CONFIG when something that the container refers to does not exist. */
export async function makeContainerSpec(
  env: WorkerEnv,
  pod: Pod,
  container: Container,
  attempt: number,
  parts: {
    image: UnpackedImage;
    sandbox: Sandbox;
    volumes: PodVolumes;
    logPath: string;
    sharesProcessesOf: number | undefined;
  },
): Promise<ContainerSpec> {
  const { image, sandbox, volumes, logPath } = parts;
  const references = await readReferences(env, pod, container);
  const facts = env.facts(sandbox.ip);
  const services = await env.serviceEnv(pod);
  const variables = makeEnvironment(pod, container, image.config, services, references, facts);
  const [firstPort] = container.ports ?? [];
  if (sandbox.portMap && firstPort && !variables.has('PORT')) {
    // The app cannot have the port that it asked for: PORT is how it learns.
    variables.set('PORT', String(firstPort.containerPort));
  }
  const security = container.securityContext ?? {};
  const seccomp = security.seccompProfile ?? pod.spec?.securityContext?.seccompProfile;
  const { limits = {}, requests = {} } = container.resources ?? {};
  const cpuLimit = parseQuantity(limits['cpu'] ?? '');
  const cpuRequest = parseQuantity(requests['cpu'] ?? limits['cpu'] ?? '') ?? 0;
  return {
    id: containerId(pod, container, attempt),
    name: container.name,
    rootfs: image.rootfs,
    command: makeCommand(container, image.config, variables),
    env: variables,
    cwd: container.workingDir ? container.workingDir : image.config.WorkingDir || '/',
    user: resolveUser(pod, container, image.config.User, image.rootfs),
    mounts: volumes.mountsOf(container, variables),
    readOnlyRoot: security.readOnlyRootFilesystem ?? false,
    privileged: security.privileged ?? false,
    // Stricter than Kubernetes' default: set-user-ID programs gain nothing unless the pod asks for it.
    allowPrivilegeEscalation: security.allowPrivilegeEscalation ?? false,
    capabilities: { add: security.capabilities?.add ?? [], drop: security.capabilities?.drop ?? [] },
    seccompUnconfined: seccomp?.type === 'Unconfined',
    sysctls: Object.fromEntries(sysctlsOf(pod)),
    limits: {
      memoryBytes: parseQuantity(limits['memory'] ?? ''),
      cpuMillis: cpuLimit === undefined ? undefined : Math.ceil(cpuLimit * 1000),
      cpuRequestMillis: Math.ceil(cpuRequest * 1000),
    },
    logPath,
    stdin: await inputOf(sandbox.spec.dir, container, attempt),
    tty: container.tty ?? false,
    sharesProcessesOf: parts.sharesProcessesOf,
    sharesWithHost: { processes: pod.spec?.hostPID ?? false, ipc: pod.spec?.hostIPC ?? false },
    terminationMessage: {
      source: emptyFile(messageFile(sandbox.spec.dir, container, attempt)),
      destination: container.terminationMessagePath ?? defaultMessagePath,
    },
  };
}

/** The named pipe that a container reads; one with a terminal always has it, or it would read the end at once. */
async function inputOf(dir: string, container: Container, attempt: number): Promise<string | undefined> {
  if (!container.stdin && !container.tty) return undefined;
  const path = join(dir, 'logs', container.name, `${attempt}.stdin`);
  rmSync(path, { force: true });
  await makeFifos([path]);
  return path;
}

async function readReferences(env: WorkerEnv, pod: Pod, container: Container): Promise<References> {
  const names = environmentReferences(container);
  const namespace = pod.metadata.namespace ?? '';
  const load = async (kind: 'configmap' | 'secret', wanted: readonly string[]) =>
    new Map(
      await Promise.all(
        wanted.map(async (name) => [name, await env.readData(kind, namespace, name)] as const),
      ),
    );
  const [configMaps, secrets] = await Promise.all([
    load('configmap', names.configMaps),
    load('secret', names.secrets),
  ]);
  return { configMap: (name) => configMaps.get(name), secret: (name) => secrets.get(name) };
}

/** Any user of the container may write its message. */
function emptyFile(path: string): string {
  closeSync(openSync(path, 'w', 0o666));
  chmodSync(path, 0o666);
  return path;
}
