/** Keeps the numbers of disruption budgets that evictions are decided by (kubernetes pkg/controller/disruption). */
import { mergePatchOf } from '../../base/json.ts';
import { controllerOf, keyOf, type KubeObject } from '../../api/object.ts';
import type { Pod } from '../../api/pods.ts';
import { podDisruptionBudgets, type PodDisruptionBudget } from '../../api/kubernetes/disruption-budgets.ts';
import { pods } from '../../api/kubernetes/pods.ts';
import { formatSelector, matchesSelector } from '../../api/kubernetes/selectors.ts';
import { statefulSets } from '../../api/kubernetes/stateful-sets.ts';
import { deployments, replicaSets } from '../../api/kubernetes/workloads.ts';
import { hasReason } from '../../kube/api-error.ts';
import { objectKey, type ObjectKey } from '../../kube/client/client.ts';
import type { Informer } from '../../kube/client/informer.ts';
import {
  watches,
  type Controller,
  type ControllerEnv,
  type Outcome,
} from '../../kube/controller/controller.ts';
import type { EventRecorder } from '../../kube/controller/recorder.ts';
import type { ResourceRegistry } from '../../kube/resource-registry.ts';
import {
  decideBudgetStatus,
  needsScale,
  pendingEvictions,
  type BudgetStatus,
  type Expected,
} from './decisions.ts';
import { lookUpScales } from './scales.ts';

export function disruptionController(
  env: ControllerEnv,
  recorder: EventRecorder,
  registry: Pick<ResourceRegistry, 'resources'>,
): Controller {
  return new DisruptionController(env, recorder, registry);
}

class DisruptionController implements Controller {
  readonly name = 'disruption budget';
  readonly root = podDisruptionBudgets;
  /** Several pods that become ready together are one look. */
  readonly restMs = 10;
  readonly watches = [
    watches(pods, (pod) => this.#budgetsOver(pod)),
    ...[deployments, replicaSets, statefulSets].map((def) =>
      watches<KubeObject>(def, (set) => this.#budgetsOfSet(set)),
    ),
  ];
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #registry: Pick<ResourceRegistry, 'resources'>;
  readonly #budgets: Informer<PodDisruptionBudget>;
  readonly #pods: Informer<Pod>;

  constructor(env: ControllerEnv, recorder: EventRecorder, registry: Pick<ResourceRegistry, 'resources'>) {
    this.#env = env;
    this.#recorder = recorder;
    this.#registry = registry;
    this.#budgets = env.informers.for(podDisruptionBudgets);
    this.#pods = env.informers.for(pods);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const budget = this.#budgets.get(`${key.namespace ?? ''}/${key.name}`);
    if (!budget || budget.metadata.deletionTimestamp) return undefined;
    const covered = this.#pods
      .list({ namespace: key.namespace ?? '' })
      .filter((pod) => matchesSelector(budget.spec?.selector, pod.metadata.labels));
    if (covered.length === 0) this.#recorder.event(budget, 'Normal', 'NoPods', 'No matching pods found');
    const now = this.#env.clock.now();
    const expected = await this.#expected(budget, covered);
    const { expired, checkInMs } = pendingEvictions(budget, covered, now);
    for (const pod of expired) {
      const text = `Pod was expected by PDB ${keyOf(budget)} to be deleted but it wasn't`;
      this.#recorder.event(pod, 'Warning', 'NotDeleted', text);
    }
    const written = await this.#write(budget, decideBudgetStatus(budget, covered, expected, now));
    if (!written) return { requeue: true };
    return checkInMs === undefined ? undefined : { requeueAfter: checkInMs };
  }

  async #expected(budget: PodDisruptionBudget, covered: readonly Pod[]): Promise<Expected> {
    if (!needsScale(budget)) {
      return { count: budget.spec?.minAvailable === undefined ? 0 : covered.length };
    }
    const { expected, unmanaged } = await lookUpScales(this.#env, this.#registry, covered);
    if ('failure' in expected) {
      const text = `Failed to calculate the number of expected pods: ${expected.failure}`;
      this.#recorder.event(budget, 'Warning', 'CalculateExpectedPodCountFailed', text);
    }
    if (unmanaged.length > 0) {
      const selector = formatSelector(budget.spec?.selector);
      const text = `Pods selected by this PodDisruptionBudget (selector: ${selector}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`;
      this.#recorder.event(budget, 'Warning', 'UnmanagedPods', text);
    }
    return expected;
  }

  /**
   * False when an eviction has been granted since: what was decided without knowing of it may not undo it.
   */
  async #write(budget: PodDisruptionBudget, status: BudgetStatus): Promise<boolean> {
    const patch = mergePatchOf(budget.status ?? {}, status);
    if (patch === undefined) return true;
    const { uid, resourceVersion } = budget.metadata;
    const body = { metadata: { uid, resourceVersion }, status: patch };
    try {
      await this.#env.client.patch(
        podDisruptionBudgets,
        objectKey(budget),
        { type: 'merge', body },
        { subresource: 'status' },
      );
      return true;
    } catch (error) {
      if (hasReason(error, 'NotFound')) return true;
      if (hasReason(error, 'Conflict')) return false;
      throw error;
    }
  }

  #budgetsOver(pod: Pod): string[] {
    return this.#budgets
      .list({ namespace: pod.metadata.namespace ?? '' })
      .filter((budget) => matchesSelector(budget.spec?.selector, pod.metadata.labels))
      .map(keyOf);
  }

  /** Budgets in parts of a whole change with the size of a set; sets of deployments follow the deployment. */
  #budgetsOfSet(set: KubeObject): string[] {
    if (controllerOf(set)) return [];
    return this.#budgets
      .list({ namespace: set.metadata.namespace ?? '' })
      .filter(needsScale)
      .map(keyOf);
  }
}
