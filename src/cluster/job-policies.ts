/** The policies of a Job on failed pods and on success, as pure functions (kubernetes pkg/controller/job). */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import type { Job } from '../api/kubernetes/batch.ts';
import type { Pod } from '../api/pods.ts';
import { countCommon, countIndexes, parseIndexes, type Indexes } from './job-indexes.ts';

type ExitCodes = KubernetesTypes['batch.v1.PodFailurePolicyOnExitCodesRequirement'];
type ContainerStatus = KubernetesTypes['core.v1.ContainerStatus'];

interface FailureVerdict {
  readonly action: 'FailJob' | 'FailIndex' | 'Ignore' | 'Count';
  /** Set with `FailJob`: what the Job says of itself. */
  readonly message?: string;
}

/** What the Job's policy says of a pod that has failed; without a rule that matches the failure counts. */
export function judgeFailure(job: Job, pod: Pod): FailureVerdict {
  const rules = job.spec?.podFailurePolicy?.rules ?? [];
  const at = `${pod.metadata.namespace}/${pod.metadata.name}`;
  for (const [index, rule] of rules.entries()) {
    const by = `matching ${rule.action} rule at index ${index}`;
    let message: string | undefined;
    if (rule.onExitCodes) {
      const container = findByExitCode(pod, rule.onExitCodes);
      const code = container?.state?.terminated?.exitCode;
      if (container)
        message = `Container ${container.name} for pod ${at} failed with exit code ${code} ${by}`;
    } else {
      const matching = rule.onPodConditions?.find(({ type, status }) =>
        pod.status?.conditions?.some((c) => c.type === type && c.status === status),
      );
      if (matching) message = `Pod ${at} has condition ${matching.type} ${by}`;
    }
    if (message === undefined) continue;
    if (rule.action === 'FailJob') return { action: 'FailJob', message };
    if (rule.action === 'FailIndex' || rule.action === 'Ignore') return { action: rule.action };
    return { action: 'Count' };
  }
  return { action: 'Count' };
}

/** Containers that ended well match no rule. */
function findByExitCode(pod: Pod, wanted: ExitCodes): ContainerStatus | undefined {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  return [...containerStatuses, ...initContainerStatuses].find((container) => {
    if (wanted.containerName && container.name !== wanted.containerName) return false;
    const code = container.state?.terminated?.exitCode;
    if (code === undefined || code === 0) return false;
    return (wanted.values ?? []).includes(code) === (wanted.operator === 'In');
  });
}

/** The message of the first rule of the success policy that these indexes meet; undefined when none is. */
export function meetsSuccessPolicy(job: Job, succeeded: Indexes): string | undefined {
  for (const [index, rule] of (job.spec?.successPolicy?.rules ?? []).entries()) {
    const listed =
      rule.succeededIndexes === undefined
        ? undefined
        : parseIndexes(rule.succeededIndexes, job.spec?.completions ?? 0);
    const reached = listed ? countCommon(listed, succeeded) : countIndexes(succeeded);
    const needed = rule.succeededCount ?? (listed ? countIndexes(listed) : Number.POSITIVE_INFINITY);
    if (reached >= needed) return `Matched rules at index ${index}`;
  }
  return undefined;
}
