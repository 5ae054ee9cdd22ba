/** The conditions of the Node: what the machine is short of, by the kubelet's default thresholds. */
import { readFileSync, statfsSync } from 'node:fs';
import { availableMemory } from 'node:process';
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import { timestamp } from '../api/object.ts';

export type NodeCondition = KubernetesTypes['core.v1.NodeCondition'];

/** kubelet `evictionHard` defaults. */
const minMemoryBytes = 100 * 2 ** 20;
const minDiskShare = 0.1;
const minPidShare = 0.05;

/** What is left of the machine's resources. */
export interface Headroom {
  readonly memoryBytes: number;
  /** Share of the file system of the data directory, 0 to 1. */
  readonly diskShare: number;
  /** Share of the process ids, 0 to 1. */
  readonly pidShare: number;
}

/** Looks at the machine; a few system calls. */
export function readHeadroom(dataDir: string): Headroom {
  const files = statfsSync(dataDir);
  return {
    memoryBytes: availableMemory(),
    diskShare: files.blocks > 0 ? files.bavail / files.blocks : 1,
    pidShare: pidShare(),
  };
}

/** Tasks of the machine against its limit (proc(5): loadavg, pid_max); all free where the machine does not tell. */
function pidShare(): number {
  try {
    const tasks = Number(/\/(\d+) /.exec(readFileSync('/proc/loadavg', 'utf8'))?.[1] ?? 0);
    const max = Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8'));
    return max > 0 ? 1 - tasks / max : 1;
  } catch {
    return 1;
  }
}

/** The conditions as of `now`; those that did not turn keep the time of their last change. */
export function makeConditions(
  headroom: Headroom,
  before: readonly NodeCondition[] | undefined,
  now: number,
): NodeCondition[] {
  const at = timestamp(now);
  const condition = (type: string, status: boolean, reason: string, message: string): NodeCondition => {
    const word = status ? 'True' : 'False';
    const old = before?.find((one) => one.type === type);
    const lastTransitionTime = old?.status === word ? (old.lastTransitionTime ?? at) : at;
    return { type, status: word, lastHeartbeatTime: at, lastTransitionTime, reason, message };
  };
  const memory = headroom.memoryBytes < minMemoryBytes;
  const disk = headroom.diskShare < minDiskShare;
  const pids = headroom.pidShare < minPidShare;
  return [
    memory
      ? condition(
          'MemoryPressure',
          true,
          'KubeletHasInsufficientMemory',
          'kubelet has insufficient memory available',
        )
      : condition(
          'MemoryPressure',
          false,
          'KubeletHasSufficientMemory',
          'kubelet has sufficient memory available',
        ),
    disk
      ? condition('DiskPressure', true, 'KubeletHasDiskPressure', 'kubelet has disk pressure')
      : condition('DiskPressure', false, 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    pids
      ? condition('PIDPressure', true, 'KubeletHasInsufficientPID', 'kubelet has insufficient PID available')
      : condition('PIDPressure', false, 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    condition('Ready', true, 'KubeletReady', 'kubelet is posting ready status'),
  ];
}

/** True when a condition turned, and not only time went by. */
export function hasTurned(
  before: readonly NodeCondition[] | undefined,
  after: readonly NodeCondition[],
): boolean {
  return after.some(
    (condition) => before?.find((one) => one.type === condition.type)?.status !== condition.status,
  );
}
