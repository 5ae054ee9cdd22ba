/** A local, always current copy of one resource: what reconcilers read. Filled by list and watch, indexed by owner. */
import type { KubeObject } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';

export interface Change<T> {
  readonly type: 'added' | 'modified' | 'deleted';
  readonly object: T;
  /** The previous version; absent for `added`. */
  readonly old?: T;
}

/** Objects are frozen. A read may be behind a write of the same process by a few milliseconds: level, not edge. */
export interface Informer<T extends KubeObject> {
  /** `key` is `namespace/name`, or `name` for cluster-scoped resources. */
  get(key: string): T | undefined;
  /** In no particular order. `labels` must all match exactly. */
  list(filter?: { namespace?: string; labels?: { readonly [key: string]: string } }): T[];
  /** Objects with an owner reference to this uid. */
  ownedBy(uid: string): T[];
  /** Called after the copy has changed; replays what exists as `added` at once. Returns the unsubscription. */
  onChange(listener: (change: Change<T>) => void): () => void;
  /** Resolves after the first complete list. */
  synced(): Promise<void>;
}

/** Shares one informer per resource among all who ask. */
export interface Informers {
  for<T extends KubeObject>(def: ResourceDef<T>): Informer<T>;
  /** Ends the informer of a resource that is no longer served. */
  forget?(def: ResourceDef): void;
}
