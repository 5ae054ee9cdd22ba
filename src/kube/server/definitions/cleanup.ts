/** Deletes the objects of a definition that is being deleted, then lets the definition go. */
import type { Clock } from '../../../base/clock.ts';
import type { KubeObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { hasReason } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import { objectKey } from '../../client/client.ts';
import type { Table } from '../../store/table.ts';
import type { DeleteRequest, PatchRequest, WriteRequest } from '../service/requests.ts';
import { cleanupFinalizer } from './definition.ts';

/** What this needs of the API service. */
export interface CleanupService {
  get(def: ResourceDef, key: ObjectKey): Promise<{ readonly object: KubeObject }>;
  delete(def: ResourceDef, key: ObjectKey, request: DeleteRequest): Promise<unknown>;
  patch(def: ResourceDef, key: ObjectKey, patch: PatchRequest, request: WriteRequest): Promise<unknown>;
}

/** Objects deleted at once. */
const batch = 100;
/** Wait before trying again what was refused, ms. */
const retryMs = 1000;
const requester = { user: 'system:apiserver', groups: ['system:masters'] };

interface Kind {
  readonly def: ResourceDef;
  readonly table: Table;
}

export class Cleanup {
  readonly #service: CleanupService;
  readonly #definitions: ResourceDef;
  readonly #clock: Clock;
  /** Definitions that are being worked on, by name. */
  readonly #running = new Set<string>();

  constructor(service: CleanupService, definitions: ResourceDef, clock: Clock) {
    this.#service = service;
    this.#definitions = definitions;
    this.#clock = clock;
  }

  /** `kind` is undefined for a definition that was never served: it has no objects. */
  begin(name: string, kind: Kind | undefined): void {
    if (this.#running.has(name)) return;
    this.#running.add(name);
    // After the writes that are being published: this begins with writes of its own.
    setImmediate(() => void this.#work(name, kind));
  }

  /** Lets the names of other definitions be looked at again: the one in their way has gone. */
  retryNames(names: readonly string[]): void {
    for (const name of names) {
      setImmediate(() => {
        // Gone as well, or the store is closing: nothing is waiting any more.
        this.#touch(name).catch(() => undefined);
      });
    }
  }

  /** A write that changes nothing by itself makes the definition decide its status anew. */
  #touch(name: string): Promise<unknown> {
    return this.#service.patch(this.#definitions, { name }, { type: 'merge', body: {} }, requester);
  }

  async #work(name: string, kind: Kind | undefined): Promise<void> {
    try {
      await this.#touch(name);
      if (kind && !(await this.#empty(kind))) {
        this.#later(name, kind);
        return;
      }
      const { object } = await this.#service.get(this.#definitions, { name });
      const { uid, resourceVersion, finalizers = [] } = object.metadata;
      const left = finalizers.filter((finalizer) => finalizer !== cleanupFinalizer);
      const metadata = { uid, resourceVersion, finalizers: left };
      await this.#service.patch(
        this.#definitions,
        { name },
        { type: 'merge', body: { metadata } },
        requester,
      );
      this.#running.delete(name);
    } catch (error) {
      if (hasReason(error, 'NotFound')) this.#running.delete(name);
      else this.#later(name, kind);
    }
  }

  #later(name: string, kind: Kind | undefined): void {
    let done = false;
    const again = (): void => {
      if (done) return;
      done = true;
      cancel();
      unsubscribe?.();
      void this.#work(name, kind);
    };
    const cancel = this.#clock.after(retryMs, again);
    const unsubscribe = kind?.table.subscribe(() => {
      if (kind.table.size === 0) setImmediate(again);
    });
  }

  /** True when no object is left. Objects with finalizers stay until those are gone. */
  async #empty({ def, table }: Kind): Promise<boolean> {
    const standing = table.records().filter(({ object }) => !object.metadata.deletionTimestamp);
    for (let i = 0; i < standing.length; i += batch) {
      await Promise.allSettled(standing.slice(i, i + batch).map(({ object }) => this.#delete(def, object)));
    }
    return table.size === 0;
  }

  #delete(def: ResourceDef, object: KubeObject): Promise<unknown> {
    const { uid } = object.metadata;
    return this.#service.delete(def, objectKey(object), {
      ...requester,
      propagationPolicy: 'Background',
      ...(uid ? { preconditions: { uid } } : {}),
    });
  }
}
