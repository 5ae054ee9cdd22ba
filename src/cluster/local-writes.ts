/**
 * What a controller has written and its cache does not show yet. Counting children from the cache alone would create or
 * delete them twice; counting with this beside it is right at once, without waiting for the watch.
 */
import type { Clock } from '../base/clock.ts';
import { keyOf, type KubeObject } from '../api/object.ts';
import type { Informer } from '../kube/client/informer.ts';

/** A write that the watch has not shown for this long will never be shown (the object came and went unseen), ms. */
export const unseenLimitMs = 30_000;

export class LocalWrites {
  readonly #clock: Clock;
  /** Owner uid → keys (`namespace/name`) of children created for it, with the time of the write. */
  readonly #created = new Map<string, Map<string, number>>();
  readonly #owners = new Map<string, string>();
  /** Uids of children that were told to go → time of the write. */
  readonly #deleted = new Map<string, number>();
  readonly #unsubscribe: () => void;

  constructor(children: Informer<KubeObject>, clock: Clock) {
    this.#clock = clock;
    this.#unsubscribe = children.onChange(({ type, object }) => {
      this.failed(keyOf(object));
      if (type === 'deleted' || object.metadata.deletionTimestamp)
        this.#deleted.delete(object.metadata.uid ?? '');
    });
  }

  /** Call before the create request goes out, with the name the child will have. */
  creating(owner: string, key: string): void {
    let keys = this.#created.get(owner);
    if (!keys) this.#created.set(owner, (keys = new Map()));
    keys.set(key, this.#clock.now());
    this.#owners.set(key, owner);
  }

  /** The create request was refused: nothing will come. */
  failed(key: string): void {
    const owner = this.#owners.get(key);
    if (owner === undefined) return;
    this.#owners.delete(key);
    const keys = this.#created.get(owner);
    keys?.delete(key);
    if (keys?.size === 0) this.#created.delete(owner);
  }

  /** Call before the delete request goes out. */
  deleting(uid: string): void {
    this.#deleted.set(uid, this.#clock.now());
  }

  /** The delete request was refused: the child stays. */
  spared(uid: string): void {
    this.#deleted.delete(uid);
  }

  /** How many children of the owner exist that the cache does not show. */
  unseen(owner: string): number {
    const keys = this.#created.get(owner);
    if (!keys) return 0;
    const oldest = this.#clock.now() - unseenLimitMs;
    for (const [key, at] of keys) if (at < oldest) this.failed(key);
    return this.#created.get(owner)?.size ?? 0;
  }

  /** True for a child that has been told to go, whatever the cache says. */
  isDeleted(uid: string | undefined): boolean {
    const at = uid === undefined ? undefined : this.#deleted.get(uid);
    if (uid === undefined || at === undefined) return false;
    if (at >= this.#clock.now() - unseenLimitMs) return true;
    this.#deleted.delete(uid);
    return false;
  }

  close(): void {
    this.#unsubscribe();
  }
}
