import { templateGenerationAnnotation } from '../../api/kubernetes/daemon-sets.ts';
import type { DaemonSet } from '../../api/kubernetes/workloads.ts';
import type { KubernetesTypes } from '../../api/generated/kubernetes-types.ts';
import type { Pod } from '../../api/pods.ts';
import { makePod } from './pod.ts';

type PodSpec = KubernetesTypes['core.v1.PodSpec'];
type Toleration = KubernetesTypes['core.v1.Toleration'];

/** The revision of a pod of a DaemonSet: the hash of its ControllerRevision. */
export const daemonHashLabel = 'controller-revision-hash';

/** What a daemon's pods put up with: they run on nodes that are in trouble, to report it. */
function daemonTolerations(spec: PodSpec): Toleration[] {
  const exists = (name: string, effect: string): Toleration => ({
    key: `node.kubernetes.io/${name}`,
    operator: 'Exists',
    effect,
  });
  return [
    exists('not-ready', 'NoExecute'),
    exists('unreachable', 'NoExecute'),
    exists('disk-pressure', 'NoSchedule'),
    exists('memory-pressure', 'NoSchedule'),
    exists('pid-pressure', 'NoSchedule'),
    exists('unschedulable', 'NoSchedule'),
    ...(spec.hostNetwork ? [exists('network-unavailable', 'NoSchedule')] : []),
  ];
}

/** The spec of a daemon's pods, on whatever node. */
export function daemonPodSpec(set: DaemonSet): PodSpec {
  const spec: PodSpec = set.spec?.template.spec ?? { containers: [] };
  const added = daemonTolerations(spec).filter(
    ({ key, effect }) => !spec.tolerations?.some((own) => own.key === key && own.effect === effect),
  );
  return { ...spec, tolerations: [...(spec.tolerations ?? []), ...added] };
}

/** The pod for a node: the scheduler is told by affinity which one, so that the node's own checks still hold. */
export function makeDaemonPod(set: DaemonSet, node: string, hash: string): Pod {
  const pod = makePod(set, set.spec?.template ?? {});
  const spec = daemonPodSpec(set);
  const nodeSelectorTerms = [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }];
  const nodeAffinity = {
    ...spec.affinity?.nodeAffinity,
    requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms },
  };
  const generation = set.metadata.annotations?.[templateGenerationAnnotation];
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: {
        ...pod.metadata.labels,
        [daemonHashLabel]: hash,
        ...(generation === undefined ? {} : { 'pod-template-generation': generation }),
      },
    },
    spec: { ...spec, affinity: { ...spec.affinity, nodeAffinity } },
  };
}

/** The node that a daemon's pod is for, whether it is there yet or not. */
export function targetNode({ spec }: Pod): string | undefined {
  if (spec?.nodeName) return spec.nodeName;
  const terms =
    spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const field = terms
    .flatMap((term) => term.matchFields ?? [])
    .find(({ key, operator }) => key === 'metadata.name' && operator === 'In');
  return field?.values?.[0];
}
