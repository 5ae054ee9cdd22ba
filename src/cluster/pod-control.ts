/**
 * Creating and deleting the pods of an owner: what was written is remembered until the cache shows it, and told in the
 * owner's events (kubernetes pkg/controller `RealPodControl` and `ControllerExpectations`).
 */
import { messageOf } from '../base/errors.ts';
import { keyOf, type KubeObject } from '../api/object.ts';
import type { Pod } from '../api/pods.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { hasReason } from '../kube/api-error.ts';
import type { Client } from '../kube/client/client.ts';
import type { ControllerEnv } from '../kube/controller/controller.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { LocalWrites } from './local-writes.ts';

/** The words of events about pods; StatefulSets have their own. */
export interface PodWords {
  created(pod: Pod, owner: KubeObject): string;
  deleted(pod: Pod, owner: KubeObject): string;
  notCreated(pod: Pod, owner: KubeObject, why: string): string;
  notDeleted(pod: Pod, owner: KubeObject, why: string): string;
}

const plainWords: PodWords = {
  created: (pod) => `Created pod: ${pod.metadata.name}`,
  deleted: (pod) => `Deleted pod: ${pod.metadata.name}`,
  notCreated: (_pod, _owner, why) => `Error creating: ${why}`,
  notDeleted: (_pod, _owner, why) => `Error deleting: ${why}`,
};

/** A namespace that is going refuses its new content: there is nothing to report and nothing to retry. */
export function isNamespaceGoing(error: unknown): boolean {
  return hasReason(error, 'Forbidden') && messageOf(error).includes('being terminated');
}

/** Most creates that go out at once. */
const largestBatch = 64;
/** Owners remembered as refused. */
const maxRefused = 1000;

export class PodControl {
  readonly local: LocalWrites;
  readonly #client: Client;
  readonly #recorder: EventRecorder;
  readonly #words: PodWords;
  /** Uids of owners whose last creation was refused: their next ones go out carefully. */
  readonly #refused = new Set<string>();

  constructor(env: ControllerEnv, recorder: EventRecorder, words: PodWords = plainWords) {
    this.local = new LocalWrites(env.informers.for(pods), env.clock);
    this.#client = env.client;
    this.#recorder = recorder;
    this.#words = words;
  }

  /** Throws what the API answers. */
  async create(owner: KubeObject, pod: Pod): Promise<Pod> {
    const key = keyOf(pod);
    this.local.creating(owner.metadata.uid ?? '', key);
    let made: Pod;
    try {
      made = await this.#client.create(pods, pod);
    } catch (error) {
      this.local.failed(key);
      throw error;
    }
    this.#recorder.event(owner, 'Normal', 'SuccessfulCreate', this.#words.created(pod, owner));
    return made;
  }

  /** Tells of a refused creation in an event of the owner, once for all that were refused together. */
  tellNotCreated(owner: KubeObject, pod: Pod, error: unknown): void {
    const message = this.#words.notCreated(pod, owner, messageOf(error));
    this.#recorder.event(owner, 'Warning', 'FailedCreate', message);
  }

  /**
   * Creates all, or stops at the first batch in which one is refused. After a refusal the owner's next try begins with one
   * pod and doubles: a quota that is used up is asked once, not once for every pod. Resolves with the first refusal.
   */
  async createAll(owner: KubeObject, wanted: readonly Pod[]): Promise<{ created: number; refusal: unknown }> {
    const { uid = '' } = owner.metadata;
    let created = 0;
    let size = this.#refused.has(uid) ? 1 : largestBatch;
    for (let at = 0; at < wanted.length;) {
      const batch = wanted.slice(at, at + size);
      const outcomes = await Promise.allSettled(batch.map((pod) => this.create(owner, pod)));
      const failed = outcomes.findIndex((outcome) => outcome.status === 'rejected');
      created += outcomes.filter((outcome) => outcome.status === 'fulfilled').length;
      const outcome = outcomes[failed];
      const pod = batch[failed];
      if (outcome?.status === 'rejected' && pod) {
        this.#noteRefused(uid);
        if (!isNamespaceGoing(outcome.reason)) this.tellNotCreated(owner, pod, outcome.reason);
        return { created, refusal: outcome.reason };
      }
      at += batch.length;
      size = Math.min(size * 2, largestBatch);
    }
    this.#refused.delete(uid);
    return { created, refusal: undefined };
  }

  #noteRefused(uid: string): void {
    // Owners come and go; what is forgotten is asked for all at once again, and then known anew.
    if (this.#refused.size >= maxRefused) this.#refused.clear();
    this.#refused.add(uid);
  }

  /** A pod that is gone, or another of its name, counts as deleted. Throws what the API answers otherwise. */
  async delete(owner: KubeObject, pod: Pod): Promise<void> {
    const { name, namespace = '', uid = '' } = pod.metadata;
    this.local.deleting(uid);
    try {
      await this.#client.delete(pods, { namespace, name }, { preconditions: { uid } });
    } catch (error) {
      if (hasReason(error, 'NotFound', 'Conflict')) return;
      this.local.spared(uid);
      const message = this.#words.notDeleted(pod, owner, messageOf(error));
      this.#recorder.event(owner, 'Warning', 'FailedDelete', message);
      throw error;
    }
    this.#recorder.event(owner, 'Normal', 'SuccessfulDelete', this.#words.deleted(pod, owner));
  }

  /** Deletes all at once; resolves with the first refusal. */
  async deleteAll(owner: KubeObject, victims: readonly Pod[]): Promise<unknown> {
    const outcomes = await Promise.allSettled(victims.map((pod) => this.delete(owner, pod)));
    return outcomes.find((outcome) => outcome.status === 'rejected')?.reason as unknown;
  }
}
