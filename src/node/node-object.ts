/** The Node object: what this machine has, and that it is alive. */
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import {
  arch,
  availableParallelism,
  hostname,
  networkInterfaces,
  platform,
  release,
  totalmem,
  type,
} from 'node:os';
import { createHash } from 'node:crypto';
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import type { Node } from '../api/kubernetes/nodes.ts';
import { kubernetesVersion } from '../kube/server/documents.ts';

type NodeStatus = KubernetesTypes['core.v1.NodeStatus'];

/** As the kubelet's default. */
const maxPods = 110;
/** As the API server names itself: the Kubernetes level that Knapsack serves. */
const kubeletVersion = `${kubernetesVersion}+knapsack`;

export interface Machine {
  readonly name: string;
  readonly hostname: string;
  readonly ip: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Of the file system of the data directory. */
  readonly storageBytes: number;
  readonly pods: number;
  readonly os: string;
  /** As Go names it: amd64, arm64. */
  readonly arch: string;
  readonly osImage: string;
  readonly kernel: string;
  readonly machineId: string;
  readonly bootId: string;
}

/** Reads what the machine is. */
export function readMachine(name: string, dataDir: string): Machine {
  const files = statfsSync(dataDir);
  return {
    name,
    hostname: hostname(),
    ip: machineAddress(),
    cpus: availableParallelism(),
    // Inside a container or a service with a limit, that is what there is.
    memoryBytes:
      process.constrainedMemory() > 0 ? Math.min(totalmem(), process.constrainedMemory()) : totalmem(),
    storageBytes: files.bsize * files.blocks,
    pods: Math.max(maxPods, Math.floor(totalmem() / 2 ** 30) * 40),
    os: platform(),
    arch: { x64: 'amd64' }[arch() as string] ?? arch(),
    osImage: osImage(),
    kernel: release(),
    machineId: readLine('/etc/machine-id') ?? createHash('md5').update(hostname()).digest('hex'),
    bootId: readLine('/proc/sys/kernel/random/boot_id') ?? '',
  };
}

/** The first address that is not loopback, IPv4 before IPv6; loopback on a machine without a network. */
function machineAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outside = all.filter((a) => !a.internal && !a.address.startsWith('fe80:'));
  return (outside.find((a) => a.family === 'IPv4') ?? outside[0])?.address ?? '127.0.0.1';
}

function osImage(): string {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(release)?.[1] ?? `${type()} ${arch()}`;
}

function readLine(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
}

/** Without conditions: those are what changes. */
export function makeNode(machine: Machine, runtimeVersion: string): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: machine.name,
      labels: {
        'kubernetes.io/hostname': machine.name,
        'kubernetes.io/os': machine.os,
        'kubernetes.io/arch': machine.arch,
        'node-role.kubernetes.io/control-plane': '',
      },
    },
    status: makeNodeStatus(machine, runtimeVersion),
  };
}

function makeNodeStatus(machine: Machine, runtimeVersion: string): NodeStatus {
  const resources = {
    cpu: String(machine.cpus),
    memory: `${Math.floor(machine.memoryBytes / 1024)}Ki`,
    'ephemeral-storage': `${Math.floor(machine.storageBytes / 1024)}Ki`,
    pods: String(machine.pods),
  };
  return {
    capacity: resources,
    allocatable: resources,
    addresses: [
      { type: 'InternalIP', address: machine.ip },
      { type: 'Hostname', address: machine.hostname },
    ],
    nodeInfo: {
      machineID: machine.machineId,
      systemUUID: machine.machineId,
      bootID: machine.bootId,
      kernelVersion: machine.kernel,
      osImage: machine.osImage,
      containerRuntimeVersion: runtimeVersion,
      kubeletVersion,
      kubeProxyVersion: '',
      operatingSystem: machine.os,
      architecture: machine.arch,
    },
  };
}

/**
 * What a node's allocatable has to say of resources that others advertise in its capacity (kubelet `MachineInfo`): as much
 * as there is, and nothing of what is there no more. A merge patch; undefined when it says so.
 */
export function extendedAllocatable({ status }: Node): { [name: string]: string | null } | undefined {
  const { capacity = {}, allocatable = {} } = status ?? {};
  const changes: { [name: string]: string | null } = {};
  for (const [name, amount] of Object.entries(capacity)) {
    if (name.includes('/') && allocatable[name] !== amount) changes[name] = amount;
  }
  for (const name of Object.keys(allocatable)) {
    if (name.includes('/') && capacity[name] === undefined) changes[name] = null;
  }
  return Object.keys(changes).length > 0 ? changes : undefined;
}
