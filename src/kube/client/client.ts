/**
 * The one way to the Kubernetes API. Reconcilers see this interface and never know whether the other end is the
 * embedded server in the same process or a kube-apiserver over HTTP.
 */
import type { KubeObject } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';

export interface ObjectKey {
  readonly namespace?: string;
  readonly name: string;
}

/** Where the API has an object. */
export function objectKey({ metadata: { name, namespace } }: KubeObject): ObjectKey {
  return namespace ? { namespace, name } : { name };
}

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
}

export interface List<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  readonly continue?: string;
}

export interface WatchOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Events after this version. Absent: the state now as ADDED events, then changes. */
  readonly resourceVersion?: string;
  readonly allowBookmarks?: boolean;
  /** ADDED for all that exists, then a BOOKMARK annotated `k8s.io/initial-events-end`. */
  readonly sendInitialEvents?: boolean;
  readonly signal?: AbortSignal;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: KubeObject };

export interface WriteOptions {
  /** `finalize` exists on namespaces only: it alone writes `spec.finalizers`. */
  readonly subresource?: 'status' | 'scale' | 'finalize';
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
}

export interface Patch {
  readonly type: 'merge' | 'strategic' | 'json';
  readonly body: unknown;
}

export interface DeleteOptions {
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}

/** All methods throw {@link ApiError}. A watch ends (throws 410 `Expired`) when its version is too old to resume. */
export interface Client {
  get<T extends KubeObject>(def: ResourceDef<T>, key: ObjectKey): Promise<T>;
  list<T extends KubeObject>(def: ResourceDef<T>, options?: ListOptions): Promise<List<T>>;
  watch<T extends KubeObject>(def: ResourceDef<T>, options?: WatchOptions): AsyncIterable<WatchEvent<T>>;
  create<T extends KubeObject>(def: ResourceDef<T>, object: T, options?: WriteOptions): Promise<T>;
  /** Replaces. `metadata.resourceVersion`, when set, must be current (409 otherwise). */
  update<T extends KubeObject>(def: ResourceDef<T>, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(
    def: ResourceDef<T>,
    key: ObjectKey,
    patch: Patch,
    options?: WriteOptions,
  ): Promise<T>;
  delete(def: ResourceDef, key: ObjectKey, options?: DeleteOptions): Promise<void>;
}
