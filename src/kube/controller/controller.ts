/** The shape of a controller. The kernel (`kernel.ts`) runs it. */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { KubeObject } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';
import type { Client, ObjectKey } from '../client/client.ts';
import type { Informers } from '../client/informer.ts';

/** What every reconciler is made with. */
export interface ControllerEnv {
  readonly client: Client;
  readonly informers: Informers;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What one run of a reconciler gets. */
export interface ReconcileContext {
  /** Carries controller, key and reconcile id. */
  readonly log: Logger;
  readonly reconcileId: string;
  /** Aborted when the run exceeds its time limit or the kernel stops. */
  readonly signal: AbortSignal;
}

/**
 * The four outcomes: nothing (done, back-off forgotten), `requeueAfter` milliseconds (done, look again then),
 * `requeue` (look again soon, with back-off), or a throw (look again with back-off; {@link TerminalError}: do not).
 */
export type Outcome = void | { readonly requeueAfter: number } | { readonly requeue: true };

/** A failure that trying again cannot mend; waits for the next change instead. */
export class TerminalError extends Error {
  override name = 'TerminalError';
}

/** Another resource whose changes concern this controller. Built with {@link watches}. */
export interface WatchSource {
  readonly resource: ResourceDef;
  /** Keys (`namespace/name`) of the root objects to look at again. */
  readonly keys: (object: KubeObject) => readonly string[];
}

/** Types the mapping function by the resource. */
export function watches<T extends KubeObject>(
  resource: ResourceDef<T>,
  keys: (object: T) => readonly string[],
): WatchSource {
  return { resource, keys: keys as WatchSource['keys'] };
}

export interface Controller {
  /** Lower-case words, e.g. `revision`; in logs and counters. */
  readonly name: string;
  /** The root kind: each of its objects is one key of the queue. */
  readonly root: ResourceDef;
  /** Child kinds: a change enqueues the controlling owner, when it is of the root kind. */
  readonly owns?: readonly ResourceDef[];
  readonly watches?: readonly WatchSource[];
  /**
   * Lets a key rest this long after its first change before it runs, ms. For controllers that nobody waits for: several
   * changes become one run, and the store and the processor are free for those that a waking request waits for.
   */
  readonly restMs?: number;
  /** How many keys at once. Default 4. One key never runs twice at the same time. */
  readonly concurrency?: number;
  /** Called for existing and for deleted objects alike: read the informer and see. */
  reconcile(key: ObjectKey, context: ReconcileContext): Promise<Outcome>;
}
