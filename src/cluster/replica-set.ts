/**
 * ReplicaSet → pods. From a change of `spec.replicas` to the pod there is one write, the pod itself: nothing is read from
 * the store and no status is written before.
 */
import { messageOf } from '../base/errors.ts';
import { controllerOf, controllerRef, keyOf } from '../api/object.ts';
import type { Pod } from '../api/pods.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { matchesSelector } from '../api/kubernetes/selectors.ts';
import { replicaSets, type ReplicaSet } from '../api/kubernetes/workloads.ts';
import { hasReason, isNotFound } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import { writeStatus } from '../kube/controller/write-status.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { LocalWrites, unseenLimitMs } from './local-writes.ts';
import { decideStatus, isActive, rankForDeletion, type ManageFailure } from './replica-set-decisions.ts';
import { makePod } from './resources/pod.ts';

/** Creates at once at most this many; when one of a batch fails the rest waits for the next try. */
const batchSize = 64;

export function replicaSetController(env: ControllerEnv, recorder: EventRecorder): Controller {
  return new ReplicaSetController(env, recorder);
}

class ReplicaSetController implements Controller {
  readonly name = 'replica set';
  readonly root = replicaSets;
  readonly owns = [pods];
  readonly watches = [watches(pods, (pod) => this.#adopters(pod))];
  readonly concurrency = 16;
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #sets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #local: LocalWrites;

  constructor(env: ControllerEnv, recorder: EventRecorder) {
    this.#env = env;
    this.#recorder = recorder;
    this.#sets = env.informers.for(replicaSets);
    this.#pods = env.informers.for(pods);
    this.#local = new LocalWrites(this.#pods, env.clock);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const set = this.#sets.get(`${key.namespace ?? ''}/${key.name}`);
    if (!set) return undefined;
    const owned = await this.#claim(set);
    const failure = set.metadata.deletionTimestamp ? undefined : await this.#manage(set, owned);
    const { status, availableIn } = decideStatus(set, owned, failure, this.#env.clock.now());
    await writeStatus(this.#env.client, replicaSets, set, status);
    if (failure) throw new Error(failure.message);
    if (availableIn !== undefined) return { requeueAfter: availableIn };
    return this.#local.unseen(set.metadata.uid ?? '') > 0 ? { requeueAfter: unseenLimitMs } : undefined;
  }

  /** Sets that a pod without a controller could belong to. */
  #adopters(pod: Pod): string[] {
    if (controllerOf(pod) || !pod.metadata.labels) return [];
    return this.#sets
      .list({ namespace: pod.metadata.namespace ?? '' })
      .filter((set) => matchesSelector(set.spec?.selector, pod.metadata.labels))
      .map(keyOf);
  }

  /** The set's pods: keeps what matches the selector, lets go what no longer does, adopts what nobody has. */
  async #claim(set: ReplicaSet): Promise<Pod[]> {
    const { uid = '', namespace = '' } = set.metadata;
    const selector = set.spec?.selector;
    const claimed: Pod[] = [];
    for (const pod of this.#pods.ownedBy(uid)) {
      if (controllerOf(pod)?.uid !== uid) continue;
      if (matchesSelector(selector, pod.metadata.labels) || set.metadata.deletionTimestamp) claimed.push(pod);
      else
        await this.#setOwners(
          pod,
          (pod.metadata.ownerReferences ?? []).filter((ref) => ref.uid !== uid),
        );
    }
    if (set.metadata.deletionTimestamp) return claimed;
    const orphans = this.#pods
      .list({ namespace, labels: selector?.matchLabels ?? {} })
      .filter((pod) => !controllerOf(pod) && isActive(pod) && matchesSelector(selector, pod.metadata.labels));
    for (const pod of orphans) {
      await this.#setOwners(pod, [...(pod.metadata.ownerReferences ?? []), controllerRef(set)]);
      claimed.push(pod);
    }
    return claimed;
  }

  async #setOwners(pod: Pod, ownerReferences: readonly object[]): Promise<void> {
    const { name, namespace = '', uid, resourceVersion } = pod.metadata;
    const owners = ownerReferences.length > 0 ? ownerReferences : null;
    const body = { metadata: { uid, resourceVersion, ownerReferences: owners } };
    try {
      await this.#env.client.patch(pods, { namespace, name }, { type: 'merge', body });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Creates or deletes what is missing or too much. */
  async #manage(set: ReplicaSet, owned: readonly Pod[]): Promise<ManageFailure | undefined> {
    const active = owned.filter((pod) => isActive(pod) && !this.#local.isDeleted(pod.metadata.uid));
    const missing = (set.spec?.replicas ?? 1) - active.length - this.#local.unseen(set.metadata.uid ?? '');
    if (missing > 0) return this.#create(set, missing);
    // Pods that the cache does not show yet cannot be chosen: the next run, when it shows them, chooses.
    const surplus = Math.min(-missing, active.length);
    return surplus > 0 ? this.#delete(set, active, surplus) : undefined;
  }

  async #create(set: ReplicaSet, count: number): Promise<ManageFailure | undefined> {
    const template = set.spec?.template;
    if (!template) return undefined;
    for (let left = count; left > 0; left -= batchSize) {
      const batch = Array.from({ length: Math.min(left, batchSize) }, () => makePod(set, template));
      const outcomes = await Promise.allSettled(batch.map((pod) => this.#createOne(set, pod)));
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') continue;
        const message = messageOf(outcome.reason);
        // A namespace that is going refuses its new content: there is nothing to report and nothing to retry.
        if (hasReason(outcome.reason, 'Forbidden') && message.includes('being terminated')) return undefined;
        this.#recorder.event(set, 'Warning', 'FailedCreate', `Error creating: ${message}`);
        return { reason: 'FailedCreate', message };
      }
    }
    return undefined;
  }

  async #createOne(set: ReplicaSet, pod: Pod): Promise<void> {
    const key = keyOf(pod);
    this.#local.creating(set.metadata.uid ?? '', key);
    try {
      await this.#env.client.create(pods, pod);
    } catch (error) {
      this.#local.failed(key);
      throw error;
    }
    this.#recorder.event(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
  }

  async #delete(set: ReplicaSet, active: readonly Pod[], count: number): Promise<ManageFailure | undefined> {
    const victims = rankForDeletion(active, this.#env.clock.now()).slice(0, count);
    const outcomes = await Promise.allSettled(victims.map((pod) => this.#deleteOne(set, pod)));
    const refused = outcomes.find((outcome) => outcome.status === 'rejected');
    if (!refused) return undefined;
    const message = messageOf(refused.reason);
    this.#recorder.event(set, 'Warning', 'FailedDelete', `Error deleting: ${message}`);
    return { reason: 'FailedDelete', message };
  }

  async #deleteOne(set: ReplicaSet, pod: Pod): Promise<void> {
    const { name, namespace = '', uid = '' } = pod.metadata;
    this.#local.deleting(uid);
    try {
      await this.#env.client.delete(pods, { namespace, name }, { preconditions: { uid } });
    } catch (error) {
      // Gone already, or another pod of that name: either way this one is no more.
      if (hasReason(error, 'NotFound', 'Conflict')) return;
      this.#local.spared(uid);
      throw error;
    }
    this.#recorder.event(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
  }
}
