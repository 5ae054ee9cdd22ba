/**
 * `pods/eviction`: a deletion that waits for the pod's disruption budget (kubernetes
 * pkg/registry/core/pod/storage/eviction.go).
 */
import type { Clock } from '../../../base/clock.ts';
import { timestamp } from '../../../api/object.ts';
import { isPodReady, isPodTerminal, type Pod } from '../../../api/pods.ts';
import {
  disruptionAllowed,
  podDisruptionBudgets,
  type PodDisruptionBudget,
} from '../../../api/kubernetes/disruption-budgets.ts';
import { pods } from '../../../api/kubernetes/pods.ts';
import { matchesSelector } from '../../../api/kubernetes/selectors.ts';
import { ApiError, hasReason, isNotFound } from '../../api-error.ts';
import { objectKey, type ObjectKey } from '../../client/client.ts';
import { forbidden } from '../service/errors.ts';
import type { DeleteRequest, WriteRequest } from '../service/requests.ts';
import type { ApiService } from '../service/service.ts';

/** Evictions that a budget remembers until its pods are seen to go. */
const maxDisruptedPods = 2000;
/** How often an eviction starts again because the pod or the budget changed under it. */
const maxAttempts = 20;

type BudgetStatus = NonNullable<PodDisruptionBudget['status']>;

/** Writes budgets on behalf of whoever evicts, who need not have the right to. */
const system: WriteRequest = { user: 'system:apiserver', groups: ['system:masters'] };

export type Deletion = Pick<DeleteRequest, 'gracePeriodSeconds' | 'propagationPolicy' | 'preconditions'>;

export interface EvictionRequest {
  readonly requester: WriteRequest;
  readonly deletion: Deletion;
  readonly dryRun: boolean;
}

/** Throws 404, 409, 429 while the budget does not allow it, and 500 when several budgets cover the pod. */
export async function evict(
  service: ApiService,
  clock: Clock,
  key: ObjectKey,
  request: EvictionRequest,
): Promise<void> {
  const { uid, resourceVersion } = request.deletion.preconditions ?? {};
  for (let attempt = 1; ; attempt++) {
    const { object: pod } = await service.get(pods, key);
    try {
      return await tryEvict(service, clock, pod, request);
    } catch (error) {
      // A precondition of the client's own that is violated stays so.
      const final = resourceVersion !== undefined || (uid !== undefined && uid !== pod.metadata.uid);
      if (final || attempt >= maxAttempts || !hasReason(error, 'Conflict')) throw error;
    }
  }
}

async function tryEvict(
  service: ApiService,
  clock: Clock,
  pod: Pod,
  request: EvictionRequest,
): Promise<void> {
  const key = objectKey(pod);
  // What has been decided about this version of the pod holds for this version alone.
  const { resourceVersion = '' } = pod.metadata;
  const pinned: Deletion = {
    ...request.deletion,
    preconditions: { resourceVersion, ...request.deletion.preconditions },
  };
  const remove = (deletion: Deletion): Promise<unknown> =>
    markAndDelete(service, clock, key, deletion, request);
  const { uid } = request.deletion.preconditions ?? {};
  const isOther = uid !== undefined && uid !== pod.metadata.uid;
  // One that is not the pod meant is refused by its precondition before a budget is spent on it.
  if (isOther || isBeyondBudgets(pod)) return void (await remove(pinned));
  const [budget, ...more] = await budgetsOf(service, pod);
  if (!budget) return void (await remove(request.deletion));
  if (more.length > 0) {
    const text =
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.';
    throw new ApiError('InternalError', text);
  }
  if (!isPodReady(pod) && mayGoUnready(budget)) return void (await remove(pinned));
  const next = spend(budget, pod, clock.now());
  if (!request.dryRun) await writeStatus(service, budget, next);
  await remove(request.deletion);
}

/** Says in the pod why it goes, for what makes pods to tell an eviction from a failure, and deletes it. */
async function markAndDelete(
  service: ApiService,
  clock: Clock,
  key: ObjectKey,
  deletion: Deletion,
  { requester, dryRun }: EvictionRequest,
): Promise<void> {
  let { preconditions } = deletion;
  if (!dryRun) {
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'EvictionByEvictionAPI',
      message: 'Eviction API: evicting',
      lastTransitionTime: timestamp(clock.now()),
    };
    const body = { metadata: { ...preconditions }, status: { conditions: [condition] } };
    const request = { ...system, subresource: 'status' } as const;
    const marked = await service.patch(pods, key, { type: 'strategic', body }, request);
    const { resourceVersion = '' } = marked.object.metadata;
    // The version that was meant is the one that has just been written over it.
    if (preconditions?.resourceVersion !== undefined) preconditions = { ...preconditions, resourceVersion };
  }
  await service.delete(pods, key, {
    ...requester,
    ...deletion,
    ...(preconditions ? { preconditions } : {}),
    dryRun,
  });
}

/** Pods whose going disturbs nobody: not yet started, ended, or going already. */
function isBeyondBudgets(pod: Pod): boolean {
  const { deletionTimestamp } = pod.metadata;
  return isPodTerminal(pod) || pod.status?.phase === 'Pending' || deletionTimestamp !== undefined;
}

async function budgetsOf(service: ApiService, pod: Pod): Promise<PodDisruptionBudget[]> {
  const { namespace = '', labels } = pod.metadata;
  const { records } = await service.list(podDisruptionBudgets, { namespace });
  return records
    .map(({ object }) => object as PodDisruptionBudget)
    .filter((budget) => matchesSelector(budget.spec?.selector, labels));
}

/** A pod that serves nobody may go, where the policy says so or as long as enough others serve. */
function mayGoUnready({ spec, status }: PodDisruptionBudget): boolean {
  if (spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = status ?? {};
  return desiredHealthy > 0 && currentHealthy >= desiredHealthy;
}

/** The budget's status after one more eviction. Throws 429, or 403 for a status that makes no sense. */
function spend(budget: PodDisruptionBudget, pod: Pod, now: number): BudgetStatus {
  const { name, generation = 0 } = budget.metadata;
  const status = budget.status;
  if (!status || (status.observedGeneration ?? 0) < generation) {
    throw tooMany(`The disruption budget ${name} is still being processed by the server.`);
  }
  const { disruptionsAllowed: allowed = 0, disruptedPods = {} } = status;
  if (allowed < 0) throw forbidden(podDisruptionBudgets, name, 'pdb disruptions allowed is negative');
  if (Object.keys(disruptedPods).length > maxDisruptedPods) {
    const why = 'DisruptedPods map too big - too many evictions not confirmed by PDB controller';
    throw forbidden(podDisruptionBudgets, name, why);
  }
  const condition = status.conditions?.find(({ type }) => type === disruptionAllowed);
  if (allowed === 0) {
    const failed = condition?.status === 'False' && condition.reason === 'SyncFailed';
    throw tooMany(
      failed
        ? `The disruption budget ${name} does not allow evicting pods currently because it failed sync: ${condition.message}`
        : `The disruption budget ${name} needs ${status.desiredHealthy} healthy pods and has ${status.currentHealthy} currently`,
    );
  }
  const left = allowed - 1;
  const exhausted = {
    type: disruptionAllowed,
    status: 'False',
    reason: 'InsufficientPods',
    message: '',
    observedGeneration: generation,
    lastTransitionTime: timestamp(now),
  };
  return {
    ...status,
    disruptionsAllowed: left,
    disruptedPods: { ...disruptedPods, [pod.metadata.name]: timestamp(now) },
    ...(left === 0 ? { conditions: [exhausted] } : {}),
  };
}

function tooMany(cause: string): ApiError {
  return new ApiError(
    'TooManyRequests',
    "Cannot evict pod as it would violate the pod's disruption budget.",
    {
      causes: [{ reason: 'DisruptionBudget', message: cause }],
    },
  );
}

/** Only on top of what was looked at: throws 409 when the budget has changed, 404 never. */
async function writeStatus(
  service: ApiService,
  budget: PodDisruptionBudget,
  status: BudgetStatus,
): Promise<void> {
  const next = { ...budget, status };
  try {
    await service.update(podDisruptionBudgets, objectKey(budget), next, { ...system, subresource: 'status' });
  } catch (error) {
    // A budget that has gone allows everything.
    if (!isNotFound(error)) throw error;
  }
}
