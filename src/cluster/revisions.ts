/** Keeping the ControllerRevisions of a StatefulSet or DaemonSet. */
import { controllerOf, type KubeObject } from '../api/object.ts';
import type { PodTemplateSpec } from '../api/kubernetes/pod-defaults.ts';
import type { LabelSelector } from '../api/kubernetes/selectors.ts';
import { controllerRevisions, type ControllerRevision } from '../api/kubernetes/workloads.ts';
import { hasReason, isAlreadyExists } from '../kube/api-error.ts';
import { objectKey } from '../kube/client/client.ts';
import type { ControllerEnv } from '../kube/controller/controller.ts';
import { claimChildren } from './claims.ts';
import { makeControllerRevision } from './resources/controller-revision.ts';
import { templateHash } from './resources/template-hash.ts';
import { findEqual, inOrder, keeps, nextNumber, surplusRevisions } from './revision-decisions.ts';

/** A workload whose templates are kept as revisions. */
interface Revisioned extends KubeObject {
  readonly spec?: {
    readonly selector: LabelSelector;
    readonly template: PodTemplateSpec;
    readonly revisionHistoryLimit?: number;
  };
  readonly status?: { readonly collisionCount?: number };
}

export interface History {
  /** Oldest first; the last one is that of the present template. */
  readonly all: readonly ControllerRevision[];
  readonly update: ControllerRevision;
  /** How often two templates have met in one hash. */
  readonly collisionCount: number;
}

/** More collisions than this in one run mean that something else is wrong. */
const maxCollisions = 10;

export class Revisions {
  readonly #env: ControllerEnv;
  readonly #hashLabel: string;

  /** `hashLabel`: the label of a revision that has its hash. */
  constructor(env: ControllerEnv, hashLabel: string) {
    this.#env = env;
    this.#hashLabel = hashLabel;
  }

  /** The owner's revisions, oldest first. */
  async of(owner: Revisioned): Promise<ControllerRevision[]> {
    const claimed = await claimChildren({
      client: this.#env.client,
      def: controllerRevisions,
      informer: this.#env.informers.for(controllerRevisions),
      owner,
      selector: owner.spec?.selector,
    });
    return inOrder(claimed);
  }

  /** Makes sure that the present template is the newest revision: a new one, or an old one with a new number. */
  async ensure(owner: Revisioned): Promise<History> {
    const known = await this.of(owner);
    const collisionCount = owner.status?.collisionCount ?? 0;
    const equal = findEqual(known, owner.spec?.template);
    if (!equal) return this.#create(owner, known, collisionCount);
    if (equal === known.at(-1)) return { all: known, update: equal, collisionCount };
    const body = { metadata: { uid: equal.metadata.uid }, revision: nextNumber(known) };
    const update = await this.#env.client.patch(controllerRevisions, objectKey(equal), {
      type: 'merge',
      body,
    });
    return { all: [...known.filter((other) => other !== equal), update], update, collisionCount };
  }

  async #create(
    owner: Revisioned,
    known: readonly ControllerRevision[],
    collisions: number,
  ): Promise<History> {
    const { client } = this.#env;
    const template = owner.spec?.template;
    const number = nextNumber(known);
    for (let collisionCount = collisions; ; collisionCount++) {
      const hash = templateHash(template, collisionCount);
      const wanted = makeControllerRevision(owner, { hash, hashLabel: this.#hashLabel, number, template });
      try {
        const update = await client.create(controllerRevisions, wanted);
        return { all: [...known, update], update, collisionCount };
      } catch (error) {
        if (!isAlreadyExists(error) || collisionCount - collisions >= maxCollisions) throw error;
      }
      // Either the cache does not show it yet, or another template has the same hash.
      const there = await client.get(controllerRevisions, objectKey(wanted));
      const own = controllerOf(there)?.uid === owner.metadata.uid;
      if (own && keeps(there, template)) {
        return { all: [...known, there], update: there, collisionCount };
      }
    }
  }

  /** Deletes what is beyond the history limit and unused. */
  async truncate(
    owner: Revisioned,
    all: readonly ControllerRevision[],
    isLive: (revision: ControllerRevision) => boolean,
  ): Promise<void> {
    for (const revision of surplusRevisions(all, isLive, owner.spec?.revisionHistoryLimit ?? 10)) {
      const { uid } = revision.metadata;
      const preconditions = uid ? { uid } : {};
      try {
        await this.#env.client.delete(controllerRevisions, objectKey(revision), { preconditions });
      } catch (error) {
        if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
      }
    }
  }
}
