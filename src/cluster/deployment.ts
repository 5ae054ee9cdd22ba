/**
 * Deployment → ReplicaSets. From a change of `spec.replicas` to the ReplicaSet there is one write, the ReplicaSet's scale;
 * annotations and status of the Deployment follow after it.
 */
import { controllerOf, keyOf } from '../api/object.ts';
import { matchesSelector } from '../api/kubernetes/selectors.ts';
import { deployments, replicaSets, type Deployment, type ReplicaSet } from '../api/kubernetes/workloads.ts';
import { isAlreadyExists, isNotFound } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import { writeStatus } from '../kube/controller/write-status.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { claimChildren } from './claims.ts';
import { decideDeploymentStatus, isComplete, isNews } from './deployment-status.ts';
import { sooner } from './pod-state.ts';
import { makeReplicaSet, newSetUpdate, scaleAnnotations } from './resources/replica-set.ts';
import {
  findNewSet,
  initialReplicas,
  planRollout,
  replicasOf,
  nextRevision,
  revisionAnnotation,
  revisionOf,
  surplusHistory,
} from './rollout-decisions.ts';
import { StatusRest } from './status-rest.ts';

export function deploymentController(env: ControllerEnv, recorder: EventRecorder): Controller {
  return new DeploymentController(env, recorder);
}

class DeploymentController implements Controller {
  readonly name = 'deployment';
  readonly root = deployments;
  readonly owns = [replicaSets];
  readonly watches = [watches(replicaSets, (set) => this.#adopters(set))];
  readonly concurrency = 16;
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #deployments: Informer<Deployment>;
  readonly #sets: Informer<ReplicaSet>;
  readonly #rest: StatusRest;

  constructor(env: ControllerEnv, recorder: EventRecorder) {
    this.#env = env;
    this.#recorder = recorder;
    this.#deployments = env.informers.for(deployments);
    this.#sets = env.informers.for(replicaSets);
    this.#rest = new StatusRest(env.clock);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const id = `${key.namespace ?? ''}/${key.name}`;
    const deployment = this.#deployments.get(id);
    if (!deployment?.spec) return this.#rest.forget(id);
    const sets = await this.#claim(deployment);
    if (deployment.metadata.deletionTimestamp) return this.#report(deployment, undefined, sets, false);

    const known = findNewSet(deployment, sets);
    const old = sets.filter((set) => set !== known);
    const made = known || deployment.spec.paused ? undefined : await this.#createSet(deployment, old);
    if (made === 'collision') return { requeue: true };
    const current = known ?? made;
    const all = made ? [...sets, made] : sets;
    // A set that was just made has the size that the rollout starts with.
    if (!made) await this.#scale(deployment, all, planRollout(deployment, known, old));
    await this.#number(deployment, current, old);
    return this.#report(deployment, current, all, made !== undefined);
  }

  /** Deployments that a set without a controller could belong to. */
  #adopters(set: ReplicaSet): string[] {
    if (controllerOf(set)) return [];
    return this.#deployments
      .list({ namespace: set.metadata.namespace ?? '' })
      .filter((deployment) => matchesSelector(deployment.spec?.selector, set.metadata.labels))
      .map(keyOf);
  }

  /** The Deployment's sets; adopts those that match and have no controller (left by an orphaning delete). */
  #claim(deployment: Deployment): Promise<ReplicaSet[]> {
    const { client } = this.#env;
    const selector = deployment.spec?.selector;
    return claimChildren({ client, def: replicaSets, informer: this.#sets, owner: deployment, selector });
  }

  async #createSet(deployment: Deployment, old: readonly ReplicaSet[]): Promise<ReplicaSet | 'collision'> {
    const { client } = this.#env;
    const wanted = makeReplicaSet(deployment, initialReplicas(deployment, old), nextRevision(old));
    try {
      const made = await client.create(replicaSets, wanted);
      this.#told(deployment, made, 0, replicasOf(made));
      return made;
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
    // Either the cache does not show it yet, or another template has the same hash.
    const { name, namespace = '' } = wanted.metadata;
    const there = await client.get(replicaSets, { namespace, name });
    if (controllerOf(there)?.uid === deployment.metadata.uid && findNewSet(deployment, [there])) return there;
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    await writeStatus(client, deployments, deployment, { ...deployment.status, collisionCount });
    return 'collision';
  }

  /** Shrinking sets first would leave fewer pods than wanted for a moment; all changes go out together. */
  async #scale(
    deployment: Deployment,
    sets: readonly ReplicaSet[],
    plan: ReadonlyMap<string, number>,
  ): Promise<void> {
    const annotations = scaleAnnotations(deployment);
    const writes = sets.flatMap((set) => {
      const { name, namespace = '', uid } = set.metadata;
      const replicas = plan.get(name);
      if (replicas === undefined) return [];
      const body = { metadata: { uid, annotations }, spec: { replicas } };
      return [
        this.#env.client
          .patch(replicaSets, { namespace, name }, { type: 'merge', body })
          .then(() => this.#told(deployment, set, replicasOf(set), replicas)),
      ];
    });
    await Promise.all(writes);
  }

  #told(deployment: Deployment, set: ReplicaSet, from: number, to: number): void {
    if (from === to) return;
    const direction = to > from ? 'up' : 'down';
    const message = `Scaled ${direction} replica set ${set.metadata.name} from ${from} to ${to}`;
    this.#recorder.event(deployment, 'Normal', 'ScalingReplicaSet', message);
  }

  /** The newest template has the highest revision, also after a roll back to an old one. */
  async #number(
    deployment: Deployment,
    current: ReplicaSet | undefined,
    old: readonly ReplicaSet[],
  ): Promise<void> {
    if (!current) return;
    const { client } = this.#env;
    const [next, own] = [nextRevision(old), revisionOf(current)];
    const revision = own > next ? own : next;
    const { name, namespace = '' } = deployment.metadata;
    const update = newSetUpdate(deployment, current, revision);
    if (update) {
      const key = { namespace, name: current.metadata.name };
      await client.patch(replicaSets, key, { type: 'merge', body: update });
    }
    if (deployment.metadata.annotations?.[revisionAnnotation] !== String(revision)) {
      const body = { metadata: { annotations: { [revisionAnnotation]: String(revision) } } };
      await client.patch(deployments, { namespace, name }, { type: 'merge', body });
    }
  }

  async #report(
    deployment: Deployment,
    current: ReplicaSet | undefined,
    sets: readonly ReplicaSet[],
    created: boolean,
  ): Promise<Outcome> {
    const { client, clock } = this.#env;
    const { status, deadlineIn } = decideDeploymentStatus(deployment, current, sets, clock.now(), created);
    const news = created || isNews(deployment.status, status);
    const restMs = this.#rest.left(keyOf(deployment), deployment.status, status, news);
    if (restMs === 0) await writeStatus(client, deployments, deployment, status);
    if (isComplete(deployment, status)) {
      await this.#forget(
        surplusHistory(
          deployment,
          sets.filter((set) => set !== current),
        ),
      );
    }
    const again = sooner(deadlineIn, restMs > 0 ? restMs : undefined);
    return again === undefined ? undefined : { requeueAfter: again };
  }

  async #forget(sets: readonly ReplicaSet[]): Promise<void> {
    for (const set of sets) {
      const { name, namespace = '', uid } = set.metadata;
      try {
        await this.#env.client.delete(
          replicaSets,
          { namespace, name },
          { preconditions: uid ? { uid } : {} },
        );
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  }
}
