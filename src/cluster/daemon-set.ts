/** DaemonSet → one pod on every node that it is for. */
import { controllerOf, keyOf } from '../api/object.ts';
import { nodes, type Node } from '../api/kubernetes/nodes.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { matchesSelector } from '../api/kubernetes/selectors.ts';
import { controllerRevisions, daemonSets, type DaemonSet } from '../api/kubernetes/workloads.ts';
import type { Pod } from '../api/pods.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { writeStatus } from '../kube/controller/write-status.ts';
import { claimChildren } from './claims.ts';
import { decideDaemonStatus, planDaemonSet, type DaemonView } from './daemon-set-decisions.ts';
import { unseenLimitMs } from './local-writes.ts';
import { isNamespaceGoing, PodControl } from './pod-control.ts';
import { isActive, sooner } from './pod-state.ts';
import { daemonHashLabel, makeDaemonPod, targetNode } from './resources/daemon-set-pod.ts';
import { Revisions } from './revisions.ts';

/** A pod that fails again and again is replaced after 1 s, 2 s, 4 s … at most 15 min. */
const firstRestMs = 1000;
const longestRestMs = 15 * 60_000;

export function daemonSetController(env: ControllerEnv, recorder: EventRecorder): Controller {
  return new DaemonSetController(env, recorder);
}

/** When pods of a set may be tried again on a node, ms since the epoch, and the rest after that, ms. */
interface Rest {
  readonly until: number;
  readonly next: number;
}

class DaemonSetController implements Controller {
  readonly name = 'daemon set';
  readonly root = daemonSets;
  readonly owns = [pods, controllerRevisions];
  readonly watches = [
    watches(pods, (pod) => this.#adopters(pod)),
    watches(nodes, () => this.#sets.list().map(keyOf)),
  ];
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #sets: Informer<DaemonSet>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #control: PodControl;
  readonly #revisions: Revisions;
  /** By set uid and node. */
  readonly #rests = new Map<string, Rest>();

  constructor(env: ControllerEnv, recorder: EventRecorder) {
    this.#env = env;
    this.#recorder = recorder;
    this.#sets = env.informers.for(daemonSets);
    this.#pods = env.informers.for(pods);
    this.#nodes = env.informers.for(nodes);
    this.#control = new PodControl(env, recorder);
    this.#revisions = new Revisions(env, daemonHashLabel);
    this.#sets.onChange(({ type, object }) => {
      if (type !== 'deleted') return;
      for (const key of this.#rests.keys()) {
        if (key.startsWith(`${object.metadata.uid} `)) this.#rests.delete(key);
      }
    });
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const set = this.#sets.get(`${key.namespace ?? ''}/${key.name}`);
    if (!set?.spec || set.metadata.deletionTimestamp) return undefined;
    const { client, clock } = this.#env;
    const { uid = '' } = set.metadata;
    const owned = await claimChildren({
      client,
      def: pods,
      informer: this.#pods,
      owner: set,
      selector: set.spec.selector,
      adopts: isActive,
    });
    const history = await this.#revisions.ensure(set);
    const now = clock.now();
    const view: DaemonView = {
      set,
      nodes: this.#nodes.list(),
      pods: owned,
      hash: history.update.metadata.labels?.[daemonHashLabel] ?? '',
      isDeleted: (pod) => this.#control.local.isDeleted(pod.metadata.uid),
      isResting: (node) => (this.#rests.get(`${uid} ${node}`)?.until ?? 0) > now,
      now,
    };
    const settled = this.#control.local.unseen(uid) === 0;
    let failure: unknown;
    let waitMs: number | undefined = unseenLimitMs;
    if (settled) {
      const plan = planDaemonSet(view);
      for (const pod of plan.ended) this.#noteEnd(set, pod, now);
      failure = await this.#control.deleteAll(set, plan.remove);
      const wanted = plan.create.map((node) => makeDaemonPod(set, node, view.hash));
      const { refusal } = await this.#control.createAll(set, wanted);
      failure ??= isNamespaceGoing(refusal) ? undefined : refusal;
      waitMs = sooner(plan.waitMs, this.#restLeft(uid, now));
    }
    await writeStatus(client, daemonSets, set, decideDaemonStatus(view, history.collisionCount));
    const live = new Set(owned.map((pod) => pod.metadata.labels?.[daemonHashLabel]));
    await this.#revisions.truncate(
      set,
      history.all,
      (revision) => revision === history.update || live.has(revision.metadata.labels?.[daemonHashLabel]),
    );
    if (failure !== undefined) throw failure;
    return waitMs === undefined ? undefined : { requeueAfter: Math.max(1, waitMs) };
  }

  /** Sets that a pod without a controller could belong to. */
  #adopters(pod: Pod): string[] {
    if (controllerOf(pod) || !pod.metadata.labels) return [];
    return this.#sets
      .list({ namespace: pod.metadata.namespace ?? '' })
      .filter((set) => matchesSelector(set.spec?.selector, pod.metadata.labels))
      .map(keyOf);
  }

  #noteEnd(set: DaemonSet, pod: Pod, now: number): void {
    const node = targetNode(pod) ?? '';
    const where = `daemon pod ${keyOf(pod)} on node ${node}`;
    if (pod.status?.phase === 'Succeeded') {
      const message = `Found succeeded ${where}, will try to delete it`;
      this.#recorder.event(set, 'Normal', 'SucceededDaemonPod', message);
      return;
    }
    const message = `Found failed ${where}, will try to kill it`;
    this.#recorder.event(set, 'Warning', 'FailedDaemonPod', message);
    const key = `${set.metadata.uid ?? ''} ${node}`;
    const last = this.#rests.get(key);
    // A node where nothing has failed for twice the longest rest begins anew.
    const rest = last && now - last.until < 2 * longestRestMs ? last.next : firstRestMs;
    this.#rests.set(key, { until: now + rest, next: Math.min(rest * 2, longestRestMs) });
  }

  /** Until the first of the set's nodes has rested. */
  #restLeft(uid: string, now: number): number | undefined {
    let left: number | undefined;
    for (const [key, { until }] of this.#rests) {
      if (key.startsWith(`${uid} `) && until > now) left = sooner(left, until - now);
    }
    return left;
  }
}
