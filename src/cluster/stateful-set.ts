/** StatefulSet → pods with a name, and claims, of their own. */
import { messageOf } from '../base/errors.ts';
import { deepEqual } from '../base/json.ts';
import { controllerOf, keyOf } from '../api/object.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { persistentVolumeClaims, type PersistentVolumeClaim } from '../api/kubernetes/storage.ts';
import { matchesSelector } from '../api/kubernetes/selectors.ts';
import {
  controllerRevisions,
  statefulSets,
  type ControllerRevision,
  type StatefulSet,
} from '../api/kubernetes/workloads.ts';
import type { Pod } from '../api/pods.ts';
import { isAlreadyExists, isNotFound } from '../kube/api-error.ts';
import { objectKey, type ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { writeStatus } from '../kube/controller/write-status.ts';
import { claimChildren } from './claims.ts';
import { unseenLimitMs } from './local-writes.ts';
import { isNamespaceGoing, PodControl, type PodWords } from './pod-control.ts';
import { isActive } from './pod-state.ts';
import { templateOf } from './resources/controller-revision.ts';
import {
  claimOwners,
  foreignController,
  identityLabels,
  makeClaims,
  makeStatefulPod,
  ordinalOf,
} from './resources/stateful-set-pod.ts';
import { RestingNames } from './resting-names.ts';
import { Revisions, type History } from './revisions.ts';
import {
  decideStatefulStatus,
  isCondemned,
  planStatefulSet,
  revisionOf,
  type StatefulAction,
  type StatefulView,
} from './stateful-set-decisions.ts';

/** A claim that is deleted, or about to be because it belonged to an earlier pod of the name. */
function isLeaving({ metadata }: PersistentVolumeClaim, pod: Pod): boolean {
  const ofEarlier = metadata.ownerReferences?.some(
    ({ kind, name }) => kind === 'Pod' && name === pod.metadata.name,
  );
  return metadata.deletionTimestamp !== undefined || ofEarlier === true;
}

const hashLabel = 'controller.kubernetes.io/hash';
/** A claim of that name is on its way out; its pod waits for the next one. */
const claimWaitMs = 1000;

const words: PodWords = {
  created: (pod, set) => told('create', pod, set.metadata.name, 'successful'),
  deleted: (pod, set) => told('delete', pod, set.metadata.name, 'successful'),
  notCreated: (pod, set, why) => told('create', pod, set.metadata.name, `failed error: ${why}`),
  notDeleted: (pod, set, why) => told('delete', pod, set.metadata.name, `failed error: ${why}`),
};

function told(verb: string, pod: Pod, set: string, end: string): string {
  return `${verb} Pod ${pod.metadata.name} in StatefulSet ${set} ${end}`;
}

export function statefulSetController(env: ControllerEnv, recorder: EventRecorder): Controller {
  return new StatefulSetController(env, recorder);
}

class StatefulSetController implements Controller {
  readonly name = 'stateful set';
  readonly root = statefulSets;
  readonly owns = [pods, controllerRevisions];
  readonly watches = [
    watches(pods, (pod) => this.#adopters(pod)),
    watches(persistentVolumeClaims, (claim) => this.#users(claim)),
  ];
  readonly concurrency = 8;
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #sets: Informer<StatefulSet>;
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #control: PodControl;
  readonly #revisions: Revisions;
  readonly #names: RestingNames;

  constructor(env: ControllerEnv, recorder: EventRecorder) {
    this.#env = env;
    this.#recorder = recorder;
    this.#sets = env.informers.for(statefulSets);
    this.#pods = env.informers.for(pods);
    this.#claims = env.informers.for(persistentVolumeClaims);
    this.#control = new PodControl(env, recorder, words);
    this.#revisions = new Revisions(env, hashLabel);
    this.#names = new RestingNames(env.clock, this.#pods, statefulSets.kind);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const set = this.#sets.get(`${key.namespace ?? ''}/${key.name}`);
    if (!set?.spec || set.metadata.deletionTimestamp) return undefined;
    const owned = await claimChildren({
      client: this.#env.client,
      def: pods,
      informer: this.#pods,
      owner: set,
      selector: set.spec.selector,
      adopts: (pod) => isActive(pod) && ordinalOf(set, pod) !== undefined,
    });
    const history = await this.#revisions.ensure(set);
    const known = history.all.find(({ metadata }) => metadata.name === set.status?.currentRevision);
    const current = known ?? history.update;
    const view: StatefulView = {
      set,
      pods: owned,
      current: current.metadata.name,
      update: history.update.metadata.name,
      isDeleted: (pod) => this.#control.local.isDeleted(pod.metadata.uid),
      now: this.#env.clock.now(),
    };
    const { uid = '' } = set.metadata;
    // Pods that the cache does not show yet would be made again: it brings the key back when it shows them.
    const settled = this.#control.local.unseen(uid) === 0;
    const plan = settled ? planStatefulSet(view) : undefined;
    await this.#retain(set, owned);
    const { failure, waitMs } = await this.#carryOut(set, plan?.actions ?? [], [current, history.update]);
    const status = decideStatefulStatus(view, history.collisionCount);
    await writeStatus(this.#env.client, statefulSets, set, status);
    await this.#truncate(set, owned, history, [status.currentRevision, status.updateRevision]);
    if (failure !== undefined) throw failure;
    if (waitMs !== undefined) return { requeueAfter: waitMs };
    const wait = settled ? plan?.waitMs : unseenLimitMs;
    return wait === undefined ? undefined : { requeueAfter: Math.max(1, wait) };
  }

  /** Sets that a pod without a controller could belong to. */
  #adopters(pod: Pod): string[] {
    if (controllerOf(pod) || !pod.metadata.labels) return [];
    return this.#sets
      .list({ namespace: pod.metadata.namespace ?? '' })
      .filter(
        (set) =>
          ordinalOf(set, pod) !== undefined && matchesSelector(set.spec?.selector, pod.metadata.labels),
      )
      .map(keyOf);
  }

  /** Sets that the claim is, by its name, a claim of. */
  #users({ metadata: { name, namespace = '' } }: PersistentVolumeClaim): string[] {
    return this.#sets
      .list({ namespace })
      .filter((set) =>
        set.spec?.volumeClaimTemplates?.some((template) =>
          name.startsWith(`${template.metadata.name}-${set.metadata.name}-`),
        ),
      )
      .map(keyOf);
  }

  /**
   * All together: an ordered set never has more than one that matters. Gives the first refusal, and when to look again
   * where a pod has to wait, ms.
   */
  async #carryOut(
    set: StatefulSet,
    actions: readonly StatefulAction[],
    revisions: readonly ControllerRevision[],
  ): Promise<{ failure: unknown; waitMs: number | undefined }> {
    const creations: Pod[] = [];
    let waitMs: number | undefined;
    let failure: unknown;
    for (const action of actions) {
      try {
        if (action.type === 'create') {
          const revision = revisions.find(({ metadata }) => metadata.name === action.revision);
          if (!revision) continue;
          const { name } = revision.metadata;
          const pod = makeStatefulPod(set, action.ordinal, { name, template: templateOf(revision) });
          const restMs = this.#names.left(pod);
          if (restMs > 0) waitMs = Math.min(waitMs ?? restMs, restMs);
          else if (await this.#provide(set, action.ordinal, pod)) creations.push(pod);
          else waitMs ??= claimWaitMs;
        } else if (action.type === 'delete') {
          if (action.why === 'ended') this.#tellEnded(set, action.pod);
          await this.#control.delete(set, action.pod);
        } else await this.#label(set, action.pod, action.ordinal);
      } catch (error) {
        failure ??= error;
      }
    }
    const { refusal } = await this.#control.createAll(set, creations);
    failure ??= refusal;
    return { failure: isNamespaceGoing(failure) ? undefined : failure, waitMs };
  }

  /** Makes the claims of an ordinal that are missing. False: one of an earlier life is still on its way out. */
  async #provide(set: StatefulSet, ordinal: number, pod: Pod): Promise<boolean> {
    for (const wanted of makeClaims(set, ordinal)) {
      const there = this.#claims.get(keyOf(wanted));
      if (there && isLeaving(there, pod)) return false;
      if (there) continue;
      const ownerReferences = claimOwners(set, undefined, false, wanted);
      const owned = { ...wanted.metadata, ...(ownerReferences.length > 0 ? { ownerReferences } : {}) };
      await this.#createClaim(set, pod, { ...wanted, metadata: owned });
    }
    return true;
  }

  async #createClaim(set: StatefulSet, pod: Pod, claim: PersistentVolumeClaim): Promise<void> {
    const { name } = claim.metadata;
    const [podName, setName] = [pod.metadata.name, set.metadata.name];
    try {
      await this.#env.client.create(persistentVolumeClaims, claim);
    } catch (error) {
      if (isAlreadyExists(error)) return;
      const message = `create Claim ${name} for Pod ${podName} in StatefulSet ${setName} failed error: ${messageOf(error)}`;
      if (!isNamespaceGoing(error)) this.#recorder.event(set, 'Warning', 'FailedCreate', message);
      throw error;
    }
    const message = `create Claim ${name} Pod ${podName} in StatefulSet ${setName} success`;
    this.#recorder.event(set, 'Normal', 'SuccessfulCreate', message);
  }

  #tellEnded(set: StatefulSet, pod: Pod): void {
    const failed = pod.status?.phase === 'Failed';
    const where = `StatefulSet ${keyOf(set)} is recreating`;
    const message = `${where} ${failed ? 'failed' : 'terminated'} Pod ${pod.metadata.name}`;
    if (failed) this.#recorder.event(set, 'Warning', 'RecreatingFailedPod', message);
    else this.#recorder.event(set, 'Normal', 'RecreatingTerminatedPod', message);
  }

  async #label(set: StatefulSet, pod: Pod, ordinal: number): Promise<void> {
    const body = { metadata: { uid: pod.metadata.uid, labels: identityLabels(set, ordinal) } };
    await this.#env.client.patch(pods, objectKey(pod), { type: 'merge', body });
  }

  /** Gives the claims of the pods the owners that the retention policy asks for. */
  async #retain(set: StatefulSet, owned: readonly Pod[]): Promise<void> {
    for (const pod of owned) {
      const ordinal = ordinalOf(set, pod);
      if (ordinal === undefined) continue;
      // A pod that waits for a claim that was deleted would wait for ever.
      if (pod.status?.phase === 'Pending' && !pod.metadata.deletionTimestamp) {
        await this.#provide(set, ordinal, pod);
      }
      for (const { metadata } of makeClaims(set, ordinal)) {
        const claim = this.#claims.get(`${metadata.namespace ?? ''}/${metadata.name}`);
        if (!claim || claim.metadata.deletionTimestamp) continue;
        if (foreignController(set, pod, claim)) {
          const message = `PersistentVolumeClaim ${metadata.name} has a conflicting OwnerReference that acts as a managing controller, the retention policy is ignored for this claim`;
          this.#recorder.event(set, 'Warning', 'ConflictingController', message);
        }
        const owners = claimOwners(set, pod, isCondemned(set, ordinal), claim);
        if (deepEqual(owners, claim.metadata.ownerReferences ?? [])) continue;
        const { uid, resourceVersion } = claim.metadata;
        const ownerReferences = owners.length > 0 ? owners : null;
        const body = { metadata: { uid, resourceVersion, ownerReferences } };
        try {
          await this.#env.client.patch(persistentVolumeClaims, objectKey(claim), { type: 'merge', body });
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      }
    }
  }

  async #truncate(
    set: StatefulSet,
    owned: readonly Pod[],
    history: History,
    more: readonly (string | undefined)[],
  ): Promise<void> {
    const live = new Set([...more, ...owned.map(revisionOf)]);
    await this.#revisions.truncate(set, history.all, ({ metadata }) => live.has(metadata.name));
  }
}
