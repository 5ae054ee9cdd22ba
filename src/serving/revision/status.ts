/** What a Revision's status says, from its Deployment, its pods and its autoscaler. Pure. */
import {
  conditionFalse,
  conditionTrue,
  conditionUnknown,
  findCondition,
  isTrue,
  type ConditionSet,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import type { PodAutoscaler } from '../../api/autoscaling/index.ts';
import type { Deployment } from '../../api/kubernetes/workloads.ts';
import { isPodReady, type Pod } from '../../api/pods.ts';

export const revisionConditions: ConditionSet = {
  happy: 'Ready',
  dependents: ['ContainerHealthy', 'ResourcesAvailable'],
};

/** What is said about a revision's three conditions. */
export type RevisionVerdict = {
  readonly ResourcesAvailable: ConditionValue;
  readonly ContainerHealthy: ConditionValue;
  readonly Active: ConditionValue;
  /** Given where the two that it sums up do not say which of them matters. */
  readonly Ready?: ConditionValue;
};

export const resolvingDigests = conditionUnknown('ResolvingDigests');
const deploying = conditionUnknown('Deploying');

/** The registry does not have the image, or does not give it. */
export function containerMissing(image: string, message: string): ConditionValue {
  return conditionFalse('ContainerMissing', `Unable to fetch image ${JSON.stringify(image)}: ${message}`);
}

export function notOwned(kind: string, name: string): ConditionValue {
  return conditionFalse(
    'NotOwned',
    `There is an existing ${kind} ${JSON.stringify(name)} that we do not own.`,
  );
}

/** A container ended with this exit code; `message` is its termination message. */
function containerExited(exitCode: number, message: string): ConditionValue {
  return conditionFalse(`ExitCode${exitCode}`, `Container failed with: ${message.trimEnd()}`);
}

/** Waiting reasons of the kubelet that more waiting does not end. */
const hopelessWaiting = new Set([
  'CreateContainerConfigError',
  'CreateContainerError',
  'ErrImageNeverPull',
  'ErrImagePull',
  'ImageInspectError',
  'ImagePullBackOff',
  'InvalidImageName',
  'RunContainerError',
]);

export interface RevisionFacts {
  readonly deployment: Deployment;
  /** The revision's pods that are not being deleted. */
  readonly pods: readonly Pod[];
  readonly autoscaler: PodAutoscaler | undefined;
  /** Ready pods that make a new revision ready. */
  readonly initialScale: number;
  /** Containers of the revision; others (injected ones) are not judged. */
  readonly containers: ReadonlySet<string>;
  readonly alwaysSchedulable: boolean;
}

/** Ready pods win over what the Deployment says, which may be a moment behind. */
export function judgeRevision(facts: RevisionFacts): RevisionVerdict {
  const { deployment, pods, autoscaler, initialScale } = facts;
  const ready = pods.filter(isPodReady).length;
  const Active = activity(autoscaler);
  const initialized =
    isTrue(autoscaler?.status?.conditions, 'ScaleTargetInitialized') || ready >= initialScale;
  if (ready > 0 && initialized)
    return { ResourcesAvailable: conditionTrue, ContainerHealthy: conditionTrue, Active };
  const unavailable = deploymentFault(deployment) ?? (initialized ? undefined : podFault(facts));
  if (initialized) {
    return { ResourcesAvailable: unavailable ?? conditionTrue, ContainerHealthy: conditionTrue, Active };
  }
  const exit = containerFault(facts);
  return {
    ResourcesAvailable: unavailable ?? deploying,
    ContainerHealthy: exit ?? deploying,
    Active,
    // That the deadline has passed is only the consequence of it.
    ...(exit ? { Ready: exit } : {}),
  };
}

/** True when the revision cannot serve. */
export function isFailed({ ResourcesAvailable, ContainerHealthy }: RevisionVerdict): boolean {
  return ResourcesAvailable.status === 'False' || ContainerHealthy.status === 'False';
}

function activity(autoscaler: PodAutoscaler | undefined): ConditionValue {
  const ready = findCondition(autoscaler?.status?.conditions, 'Ready');
  if (!ready) return deploying;
  return { status: ready.status, reason: ready.reason, message: ready.message };
}

function deploymentFault({ status, spec }: Deployment): ConditionValue | undefined {
  if (spec?.replicas === 0) return undefined;
  for (const { type, status: value, reason = '', message = '' } of status?.conditions ?? []) {
    const bad =
      (type === 'Progressing' && value === 'False') || (type === 'ReplicaFailure' && value === 'True');
    if (bad) return conditionFalse(reason, message);
  }
  return undefined;
}

/** A pod that cannot get a node, or a container that cannot be made. */
function podFault({ pods, containers, alwaysSchedulable }: RevisionFacts): ConditionValue | undefined {
  for (const { status } of pods) {
    const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled');
    if (scheduled?.status === 'False' && !alwaysSchedulable) {
      return conditionFalse(scheduled.reason ?? 'Unschedulable', scheduled.message);
    }
    for (const { name, state } of [
      ...(status?.initContainerStatuses ?? []),
      ...(status?.containerStatuses ?? []),
    ]) {
      const reason = state?.waiting?.reason ?? '';
      if (containers.has(name) && hopelessWaiting.has(reason))
        return conditionFalse(reason, state?.waiting?.message);
    }
  }
  return undefined;
}

function containerFault({ pods, containers }: RevisionFacts): ConditionValue | undefined {
  for (const { status } of pods) {
    for (const { name, state, lastState } of status?.containerStatuses ?? []) {
      if (!containers.has(name)) continue;
      const ended = lastState?.terminated ?? state?.terminated;
      if (ended) return containerExited(ended.exitCode, ended.message || ended.reason || '');
      if (state?.waiting?.reason === 'CrashLoopBackOff') {
        return conditionFalse('CrashLoopBackOff', state.waiting.message);
      }
    }
    for (const { name, state, lastState } of status?.initContainerStatuses ?? []) {
      const ended = lastState?.terminated ?? state?.terminated;
      if (containers.has(name) && ended && ended.exitCode !== 0) {
        return containerExited(ended.exitCode, ended.message || ended.reason || '');
      }
    }
  }
  return undefined;
}
