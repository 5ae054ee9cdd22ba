/**
 * ReplicaSet → pods, and ReplicationController → pods, which is the same with an older selector. From a change of
 * `spec.replicas` to the pod there is one write, the pod itself: nothing is read from the store and no status is written
 * before.
 */
import { messageOf } from '../base/errors.ts';
import { controllerOf, keyOf } from '../api/object.ts';
import type { Pod } from '../api/pods.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { matchesSelector } from '../api/kubernetes/selectors.ts';
import {
  replicaSets,
  replicationControllers,
  type ReplicaSet,
  type ReplicationController,
} from '../api/kubernetes/workloads.ts';
import type { ResourceDef } from '../api/resource.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import { writeStatus } from '../kube/controller/write-status.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { claimChildren } from './claims.ts';
import { unseenLimitMs } from './local-writes.ts';
import { isNamespaceGoing, PodControl } from './pod-control.ts';
import { isActive, rankForDeletion, sooner } from './pod-state.ts';
import { decideStatus, isNews, type ManageFailure, type ReplicaSetStatus } from './replica-set-decisions.ts';
import { makePod } from './resources/pod.ts';
import { StatusRest } from './status-rest.ts';

/** A kind that keeps a number of equal pods, seen as a ReplicaSet. */
interface ReplicaKind {
  readonly name: string;
  readonly def: ResourceDef<ReplicaSet>;
  get(key: string): ReplicaSet | undefined;
  list(namespace: string): ReplicaSet[];
  /** The part of a status that the kind has. */
  status(status: ReplicaSetStatus): ReplicaSetStatus;
}

export function replicaSetController(env: ControllerEnv, recorder: EventRecorder): Controller {
  const informer = env.informers.for(replicaSets);
  const kind: ReplicaKind = {
    name: 'replica set',
    def: replicaSets,
    get: (key) => informer.get(key),
    list: (namespace) => informer.list({ namespace }),
    status: (status) => status,
  };
  return new ReplicaController(env, recorder, kind);
}

export function replicationControllerController(env: ControllerEnv, recorder: EventRecorder): Controller {
  const informer = env.informers.for(replicationControllers);
  const kind: ReplicaKind = {
    name: 'replication controller',
    // Both kinds have the members that are written here: metadata and status.
    def: replicationControllers as unknown as ResourceDef<ReplicaSet>,
    get(key) {
      const found = informer.get(key);
      return found && asReplicaSet(found);
    },
    list: (namespace) => informer.list({ namespace }).map(asReplicaSet),
    status: ({ terminatingReplicas: _terminating, ...status }) => status,
  };
  return new ReplicaController(env, recorder, kind);
}

/** The selector is a plain map; kind and apiVersion stay, so that owner references are right. */
function asReplicaSet({ spec, ...rest }: ReplicationController): ReplicaSet {
  const { selector = {}, ...more } = spec ?? {};
  return { ...rest, spec: { ...more, selector: { matchLabels: selector } } };
}

class ReplicaController implements Controller {
  readonly name: string;
  readonly root: ResourceDef;
  readonly owns = [pods];
  readonly watches = [watches(pods, (pod) => this.#adopters(pod))];
  readonly concurrency = 16;
  readonly #env: ControllerEnv;
  readonly #kind: ReplicaKind;
  readonly #pods: Informer<Pod>;
  readonly #control: PodControl;
  readonly #rest: StatusRest;

  constructor(env: ControllerEnv, recorder: EventRecorder, kind: ReplicaKind) {
    this.name = kind.name;
    this.root = kind.def;
    this.#env = env;
    this.#kind = kind;
    this.#pods = env.informers.for(pods);
    this.#control = new PodControl(env, recorder);
    this.#rest = new StatusRest(env.clock);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const id = `${key.namespace ?? ''}/${key.name}`;
    const set = this.#kind.get(id);
    if (!set) return this.#rest.forget(id);
    const { client, clock } = this.#env;
    const owned = await claimChildren({
      client,
      def: pods,
      informer: this.#pods,
      owner: set,
      selector: set.spec?.selector,
      adopts: isActive,
    });
    const failure = set.metadata.deletionTimestamp ? undefined : await this.#manage(set, owned);
    const { status, availableIn } = decideStatus(set, owned, failure, clock.now());
    const told = this.#kind.status(status);
    const restMs = this.#rest.left(id, set.status, told, isNews(set.status, told));
    if (restMs === 0) await writeStatus(client, this.#kind.def, set, told);
    if (failure) throw new Error(failure.message);
    const again = sooner(availableIn, restMs > 0 ? restMs : undefined);
    if (again !== undefined) return { requeueAfter: again };
    const unseen = this.#control.local.unseen(set.metadata.uid ?? '');
    return unseen > 0 ? { requeueAfter: unseenLimitMs } : undefined;
  }

  /** Sets that a pod without a controller could belong to. */
  #adopters(pod: Pod): string[] {
    if (controllerOf(pod) || !pod.metadata.labels) return [];
    return this.#kind
      .list(pod.metadata.namespace ?? '')
      .filter((set) => matchesSelector(set.spec?.selector, pod.metadata.labels))
      .map(keyOf);
  }

  /** Creates or deletes what is missing or too much. */
  async #manage(set: ReplicaSet, owned: readonly Pod[]): Promise<ManageFailure | undefined> {
    const { local } = this.#control;
    const active = owned.filter((pod) => isActive(pod) && !local.isDeleted(pod.metadata.uid));
    const missing = (set.spec?.replicas ?? 1) - active.length - local.unseen(set.metadata.uid ?? '');
    if (missing > 0) return this.#create(set, missing);
    // Pods that the cache does not show yet cannot be chosen: the next run, when it shows them, chooses.
    const surplus = Math.min(-missing, active.length);
    return surplus > 0 ? this.#delete(set, active, surplus) : undefined;
  }

  async #create(set: ReplicaSet, count: number): Promise<ManageFailure | undefined> {
    const template = set.spec?.template;
    if (!template) return undefined;
    const wanted = Array.from({ length: count }, () => makePod(set, template));
    const { refusal } = await this.#control.createAll(set, wanted);
    if (refusal === undefined || isNamespaceGoing(refusal)) return undefined;
    return { reason: 'FailedCreate', message: messageOf(refusal) };
  }

  async #delete(set: ReplicaSet, active: readonly Pod[], count: number): Promise<ManageFailure | undefined> {
    const victims = rankForDeletion(active, this.#env.clock.now()).slice(0, count);
    const refusal = await this.#control.deleteAll(set, victims);
    return refusal === undefined ? undefined : { reason: 'FailedDelete', message: messageOf(refusal) };
  }
}
