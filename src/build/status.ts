/** What a Build says about itself, from the state of its pod. Pure. */
import { sourcesOf, type Build, type BuildStatus } from '../api/build/build.ts';
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import {
  conditionFalse,
  conditionTrue,
  conditionUnknown,
  findCondition,
  nextConditions,
  type ConditionSet,
  type ConditionValue,
} from '../api/knative/conditions.ts';
import { timestamp } from '../api/object.ts';
import type { Pod } from '../api/pods.ts';

type ContainerStatus = KubernetesTypes['core.v1.ContainerStatus'];

const succeeded: ConditionSet = { happy: 'Succeeded', dependents: [] };

/** True once the build has ended, well or not: it is not looked at again. */
export function isDone(build: Build): boolean {
  const condition = findCondition(build.status?.conditions, 'Succeeded');
  return condition !== undefined && condition.status !== 'Unknown';
}

/** True for an end that was not the pod's own, after which the pod has to go. */
export function isStopped(build: Build): boolean {
  const reason = findCondition(build.status?.conditions, 'Succeeded')?.reason;
  return reason === 'BuildTimeout' || reason === 'BuildCancelled';
}

/** The status with another Succeeded condition; an end gets its time. `now` is ms since the epoch. */
export function withSucceeded(
  build: Build,
  value: ConditionValue,
  now: number,
  changes: BuildStatus = {},
): BuildStatus {
  const status = { ...build.status, ...changes };
  const ended = value.status === 'Unknown' ? {} : { completionTime: status.completionTime ?? timestamp(now) };
  return {
    ...status,
    ...ended,
    ...(build.metadata.generation !== undefined && { observedGeneration: build.metadata.generation }),
    conditions: nextConditions(succeeded, build.status?.conditions, { Succeeded: value }, now),
  };
}

/** The status of a build whose pod exists. */
export function statusFromPod(build: Build, pod: Pod, now: number): BuildStatus {
  const before = 1 + sourcesOf(build).length;
  const steps = (pod.status?.initContainerStatuses ?? []).slice(before);
  const startTime = pod.metadata.creationTimestamp;
  const completionTime = finishTime(pod);
  return withSucceeded(build, conditionFromPod(pod), now, {
    builder: 'Cluster',
    cluster: { namespace: pod.metadata.namespace ?? '', podName: pod.metadata.name },
    ...(startTime && { startTime }),
    ...(completionTime && { completionTime }),
    stepStates: steps.map((step) => step.state ?? {}),
    stepsCompleted: steps.filter((step) => step.state?.terminated).map((step) => step.name),
  });
}

function conditionFromPod(pod: Pod): ConditionValue {
  switch (pod.status?.phase) {
    case 'Running':
      return conditionUnknown('Building');
    case 'Failed':
      return conditionFalse('', failureMessage(pod));
    case 'Succeeded':
      return conditionTrue;
    default:
      return conditionUnknown('Pending', waitingMessage(pod));
  }
}

/** When the last container of an ended pod ended; undefined while it runs, or when nobody noted it. */
function finishTime(pod: Pod): string | undefined {
  if (pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed') return undefined;
  return containerStatuses(pod)
    .map((status) => status.state?.terminated?.finishedAt)
    .filter((time) => time !== undefined)
    .sort()
    .at(-1);
}

function containerStatuses(pod: Pod): ContainerStatus[] {
  return [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
}

/** The first thing that the pod waits for. */
function waitingMessage(pod: Pod): string {
  for (const status of pod.status?.initContainerStatuses ?? []) {
    const message = status.state?.waiting?.message;
    if (message) {
      return `build step ${JSON.stringify(status.name)} is pending with reason ${JSON.stringify(message)}`;
    }
  }
  const condition = pod.status?.conditions?.find((item) => item.status !== 'True');
  if (condition) {
    const { type, status, message = '' } = condition;
    return `pod status ${JSON.stringify(type)}:${JSON.stringify(status)}; message: ${JSON.stringify(message)}`;
  }
  return pod.status?.message || 'Pending';
}

/** The first step that failed, how to read its log, and what it left as its last words. */
function failureMessage(pod: Pod): string {
  for (const { name, state, imageID } of containerStatuses(pod)) {
    const end = state?.terminated;
    if (!end || end.exitCode === 0) continue;
    const { namespace = '', name: podName } = pod.metadata;
    const logs = `for logs run: kubectl -n ${namespace} logs ${podName} -c ${name}`;
    const said = end.message?.trim() ? `; it said: ${end.message.trim()}` : '';
    return `build step ${JSON.stringify(name)} exited with code ${end.exitCode} (image: ${JSON.stringify(imageID)}); ${logs}${said}`;
  }
  return pod.status?.message || 'build failed for unspecified reasons.';
}
