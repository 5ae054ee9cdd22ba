/** What the API service is asked for and what it answers, without any HTTP. */
import type { KubeObject } from '../../../api/object.ts';

/** An object with its JSON. Both are shared and must not be changed. */
export interface Served {
  readonly object: KubeObject;
  readonly bytes: Buffer;
}

/** Subresources that are read or written as objects: `finalize` of namespaces, `ephemeralcontainers` of pods. */
export type ObjectSubresource = 'status' | 'scale' | 'finalize' | 'approval' | 'ephemeralcontainers';

export interface GetRequest {
  readonly subresource?: ObjectSubresource;
  readonly resourceVersion?: string;
}

export interface ListRequest {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** 0 or absent: all. */
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: string;
}

export interface ListResult {
  readonly records: readonly Served[];
  readonly resourceVersion: string;
  readonly continue?: string;
  /** Only on a limited list without selectors, as in Kubernetes. */
  readonly remainingItemCount?: number;
}

export interface WatchRequest {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Events after this version; absent or `0`: the state now as ADDED, then changes. */
  readonly resourceVersion?: string;
  readonly allowBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  /** Ends the stream normally after this many milliseconds, after a last bookmark where those are allowed. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface ServedEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: KubeObject;
  /** `{"type":…,"object":…}` and a line feed; shared between watchers. */
  readonly line: Buffer;
}

/** A watch: ends with its request, or when the resource is no longer served. */
export interface ServedEvents extends AsyncIterableIterator<ServedEvent> {
  return(): Promise<IteratorResult<ServedEvent>>;
}

/** Who asks, as authentication found out: what admission and audit may look at. */
export interface Requester {
  /** The authenticated user name. */
  readonly user: string;
  readonly groups?: readonly string[];
  readonly uid?: string;
  readonly extra?: Readonly<Record<string, readonly string[]>>;
  /** Of an apply or update: throws 403 where the requester may not create what is not there. Absent: they may. */
  readonly authorizeCreation?: () => void;
  /** Adds to what the audit log says of the request. */
  readonly annotate?: (key: string, value: string) => void;
}

/** What only strict decoding minds in a body. */
export interface BodyFaults {
  /** `duplicate field "spec.replicas"`. */
  readonly texts: readonly string[];
  /** Puts these and others that are found in the object (`unknown field "spec.x"`) into the order of the body. */
  readonly inOrder?: (faults: readonly string[]) => readonly string[];
}

export interface WriteRequest extends Requester {
  readonly subresource?: ObjectSubresource;
  readonly dryRun?: boolean;
  /** What to do about unknown fields. Default Warn. */
  readonly fieldValidation?: 'Strict' | 'Warn' | 'Ignore';
  /** What the body had that only strict decoding minds. */
  readonly bodyFaults?: BodyFaults;
  /** Who the written fields belong to. Default: made from `userAgent`. */
  readonly fieldManager?: string;
  readonly userAgent?: string;
  /** Server-side apply alone: takes fields over from other managers. */
  readonly force?: boolean;
}

export interface WriteResult extends Served {
  readonly warnings: readonly string[];
  /** True when the write removed the object: its last finalizer went. */
  readonly removed?: boolean;
  /** True when an apply or update found no object, and made it. */
  readonly created?: boolean;
}

/** A patch that says what to change. */
export interface ChangingPatch {
  readonly type: 'merge' | 'strategic' | 'json';
  readonly body: unknown;
}

/** `apply`: the body is a configuration, for server-side apply. */
export type PatchRequest = ChangingPatch | { readonly type: 'apply'; readonly body: unknown };

export interface DeleteRequest extends Requester {
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
}

export interface DeleteResult extends Served {
  readonly warnings: readonly string[];
  /** False while a grace period or finalizers keep the object. */
  readonly removed: boolean;
}
