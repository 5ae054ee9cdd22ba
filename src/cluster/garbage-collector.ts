/**
 * Deletes what its owners have left behind, over every resource: background, foreground and orphaning deletion.
 * It has no root kind, so it runs its own queue: one key an object, whatever its kind.
 */
import { messageOf } from '../base/errors.ts';
import { deepEqual } from '../base/json.ts';
import { keyOf, type KubeObject, type OwnerReference } from '../api/object.ts';
import { apiVersionOf, qualifiedName, storedAs, type ResourceDef } from '../api/resource.ts';
import { hasReason, isConflict, isNotFound } from '../kube/api-error.ts';
import type { Change, Informer } from '../kube/client/informer.ts';
import type { ControllerEnv } from '../kube/controller/controller.ts';
import { asStored, type ResourceRegistry } from '../kube/resource-registry.ts';
import { WorkQueue } from '../kube/controller/queue.ts';
import {
  blocks,
  foregroundFinalizer,
  isDeleting,
  judge,
  orphanFinalizer,
  orphansDependents,
  ownersInCircle,
  waitsForDependents,
  type OwnerState,
} from './garbage-decisions.ts';

/** Objects worked on at once. */
const concurrency = 16;

interface Source {
  readonly def: ResourceDef;
  readonly informer: Informer<KubeObject>;
  unsubscribe: () => void;
}

interface Place {
  readonly source: Source;
  /** `namespace/name` or `name`. */
  readonly key: string;
}

export class GarbageCollector {
  readonly #env: ControllerEnv;
  readonly #registry: ResourceRegistry;
  /** By qualified name. */
  readonly #sources = new Map<string, Source>();
  /** `group/Kind` → resource: owner references name kinds, of whatever version. */
  readonly #kinds = new Map<string, Source>();
  /** Where each live object is, by uid. */
  readonly #places = new Map<string, Place>();
  readonly #queue: WorkQueue;
  readonly #running = new Set<Promise<void>>();
  readonly #unsubscribe: () => void;
  #started = false;

  /** `registry`: all that can own or be owned; kinds that are only computed have no informers and must be left out. */
  constructor(env: ControllerEnv, registry: ResourceRegistry) {
    this.#env = { ...env, log: env.log.child({ controller: 'garbage collector' }) };
    this.#queue = new WorkQueue(env.clock, () => this.#pump());
    this.#registry = registry;
    for (const def of registry.stored) this.#follow(def);
    this.#unsubscribe = registry.onChange(({ added, removed }) => {
      for (const def of removed) this.#forget(def);
      for (const def of added) this.#follow(def);
    });
  }

  #follow(def: ResourceDef): void {
    const informer = this.#env.informers.for(this.#registry.isCustom(def) ? asStored(def) : def);
    const source: Source = { def, informer, unsubscribe: () => undefined };
    this.#sources.set(qualifiedName(def), source);
    for (const group of groupsOf(def, this.#registry)) this.#kinds.set(`${group}/${def.kind}`, source);
    // Tells at once of what the cache holds already.
    source.unsubscribe = informer.onChange((change) => this.#note(source, change));
  }

  /** A kind that is served no more has no objects either. One whose definition was replaced comes back at once. */
  #forget(def: ResourceDef): void {
    const source = this.#sources.get(qualifiedName(def));
    if (!source) return;
    source.unsubscribe();
    this.#env.informers.forget?.(def);
    this.#sources.delete(qualifiedName(def));
    this.#kinds.delete(`${def.group}/${def.kind}`);
    for (const [uid, place] of this.#places) {
      if (place.source !== source) continue;
      this.#places.delete(uid);
      for (const dependent of this.#dependents(uid)) this.#add(dependent.uid);
    }
  }

  /** Starts working once every cache holds its first list: before that nothing can be called absent. */
  async start(): Promise<void> {
    await Promise.all([...this.#sources.values()].map(({ informer }) => informer.synced()));
    this.#started = true;
    this.#pump();
  }

  /** Takes no more keys and resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#unsubscribe();
    for (const source of this.#sources.values()) source.unsubscribe();
    this.#queue.close();
    await Promise.allSettled(this.#running);
  }

  /** Keeps the graph and finds out whom a change concerns. Cheap: it runs for every change of every object. */
  #note(source: Source, { type, object, old }: Change<KubeObject>): void {
    const { uid = '', ownerReferences } = object.metadata;
    if (old?.metadata.uid && old.metadata.uid !== uid) this.#left(old);
    if (type === 'deleted') {
      this.#left(object);
      return;
    }
    const key = keyOf(object);
    if (this.#places.get(uid)?.source !== source) this.#places.set(uid, { source, key });
    const sameOwners = old !== undefined && deepEqual(old.metadata.ownerReferences, ownerReferences);
    if (ownerReferences?.length && !sameOwners) this.#add(uid);
    if (!isDeleting(object)) {
      if (old && !sameOwners) this.#ownersOf(old);
      return;
    }
    if (waitsForDependents(object) || orphansDependents(object)) this.#add(uid);
    if (waitsForDependents(object))
      for (const { uid: dependent } of this.#dependents(uid)) this.#add(dependent);
    this.#ownersOf(object);
  }

  #left(object: KubeObject): void {
    const { uid = '' } = object.metadata;
    this.#places.delete(uid);
    for (const dependent of this.#dependents(uid)) this.#add(dependent.uid);
    this.#ownersOf(object);
  }

  /** Owners that wait for their dependents look again. */
  #ownersOf(object: KubeObject): void {
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      const owner = this.#objectOf(uid);
      if (owner && waitsForDependents(owner)) this.#add(uid);
    }
  }

  #add(uid: string): void {
    this.#queue.add(uid);
  }

  #objectOf(uid: string): KubeObject | undefined {
    const place = this.#places.get(uid);
    const object = place?.source.informer.get(place.key);
    return object?.metadata.uid === uid ? object : undefined;
  }

  #dependents(uid: string): { uid: string; source: Source; object: KubeObject }[] {
    return [...this.#sources.values()].flatMap((source) =>
      source.informer.ownedBy(uid).map((object) => ({ uid: object.metadata.uid ?? '', source, object })),
    );
  }

  /** Those that keep an owner from going and wait for their own dependents. */
  #waitingDependents(owner: string): string[] {
    return this.#dependents(owner)
      .filter(({ object }) => blocks(object, owner) && waitsForDependents(object))
      .map(({ uid }) => uid);
  }

  #pump(): void {
    if (!this.#started) return;
    while (this.#running.size < concurrency) {
      const uid = this.#queue.take();
      if (uid === undefined) return;
      const run = this.#process(uid).finally(() => {
        this.#running.delete(run);
        this.#queue.done(uid);
        this.#pump();
      });
      this.#running.add(run);
    }
  }

  async #process(uid: string): Promise<void> {
    try {
      await this.#collect(uid);
      this.#queue.forget(uid);
    } catch (error) {
      this.#queue.addRateLimited(uid);
      const level = isConflict(error) ? 'debug' : 'warn';
      this.#env.log[level]({ uid, error: messageOf(error) }, 'collection failed, will retry');
    }
  }

  async #collect(uid: string): Promise<void> {
    const place = this.#places.get(uid);
    const object = this.#objectOf(uid);
    if (!place || !object) return;
    const { def } = place.source;
    const dependents = this.#dependents(uid);
    if (orphansDependents(object)) {
      await Promise.all(dependents.map((item) => this.#release(item.source.def, item.object, [uid])));
      await this.#dropFinalizer(def, object, orphanFinalizer);
      return;
    }
    if (waitsForDependents(object)) {
      // Each dependent sees for itself that this owner waits, and goes; the last one brings us back here.
      if (!dependents.some((item) => blocks(item.object, uid))) {
        await this.#dropFinalizer(def, object, foregroundFinalizer);
        return;
      }
      const owners = ownersInCircle(object, (owner) => this.#waitingDependents(owner));
      if (owners.size > 0) await this.#unblock(def, object, owners);
      return;
    }
    const refs = object.metadata.ownerReferences ?? [];
    if (refs.length === 0 || isDeleting(object)) return;
    const owners = await Promise.all(refs.map((ref) => this.#ownerState(object, ref)));
    if (owners.some((owner) => owner === 'unknown')) return;
    const verdict = judge(object, owners as OwnerState[], dependents.length > 0);
    if (verdict.action === 'release') await this.#release(def, object, verdict.uids);
    else if (verdict.action === 'delete') await this.#delete(def, object, verdict.policy);
  }

  /**
   * The owner as the cache has it or, when it has none, as the API has it: caches of different kinds do not move
   * together, and a child may be seen before its owner. `unknown`: a kind that is not served here; it is left alone.
   */
  async #ownerState(object: KubeObject, ref: OwnerReference): Promise<OwnerState | 'unknown'> {
    const cached = this.#objectOf(ref.uid);
    if (cached) return { ref, owner: cached };
    const [group = ''] = ref.apiVersion.includes('/') ? ref.apiVersion.split('/') : [''];
    const source = this.#kinds.get(`${group}/${ref.kind}`);
    if (!source) return 'unknown';
    const { namespace } = object.metadata;
    // A cluster-scoped object cannot have an owner in a namespace: such a reference names nothing.
    if (source.def.namespaced && !namespace) return { ref, owner: undefined };
    const key = { name: ref.name, ...(source.def.namespaced && namespace ? { namespace } : {}) };
    try {
      const owner = await this.#env.client.get(source.def, key);
      return { ref, owner: owner.metadata.uid === ref.uid ? owner : undefined };
    } catch (error) {
      if (isNotFound(error)) return { ref, owner: undefined };
      throw error;
    }
  }

  async #delete(
    def: ResourceDef,
    object: KubeObject,
    propagationPolicy: 'Foreground' | 'Background' | 'Orphan',
  ): Promise<void> {
    const { uid, resourceVersion } = object.metadata;
    // The version guards against an owner that came meanwhile; a conflict brings the object back with the next change.
    const preconditions = { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) };
    try {
      await this.#env.client.delete(def, keyFor(def, object), { propagationPolicy, preconditions });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return;
    }
    const name = `${qualifiedName(def)} ${keyOf(object)}`;
    this.#env.log.debug({ object: name, apiVersion: apiVersionOf(def), propagationPolicy }, 'collected');
  }

  async #release(def: ResourceDef, object: KubeObject, uids: readonly string[]): Promise<void> {
    const left = (object.metadata.ownerReferences ?? []).filter((ref) => !uids.includes(ref.uid));
    await this.#patchMetadata(def, object, { ownerReferences: left.length > 0 ? left : null });
  }

  /** The object goes on waiting for its dependents, but these owners need not wait for it any more. */
  async #unblock(def: ResourceDef, object: KubeObject, owners: ReadonlySet<string>): Promise<void> {
    const ownerReferences = object.metadata.ownerReferences?.map((ref) =>
      owners.has(ref.uid) ? { ...ref, blockOwnerDeletion: false } : ref,
    );
    await this.#patchMetadata(def, object, { ownerReferences });
  }

  async #dropFinalizer(def: ResourceDef, object: KubeObject, finalizer: string): Promise<void> {
    const left = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
    await this.#patchMetadata(def, object, { finalizers: left.length > 0 ? left : null });
  }

  async #patchMetadata(def: ResourceDef, object: KubeObject, change: object): Promise<void> {
    const { uid, resourceVersion } = object.metadata;
    const body = { metadata: { uid, resourceVersion, ...change } };
    try {
      await this.#env.client.patch(def, keyFor(def, object), { type: 'merge', body });
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
    }
  }
}

function keyFor(def: ResourceDef, object: KubeObject): { name: string; namespace?: string } {
  const { name, namespace } = object.metadata;
  return { name, ...(def.namespaced && namespace ? { namespace } : {}) };
}

/** Groups under which owner references may name a kind: events are in two. */
function groupsOf(def: ResourceDef, registry: ResourceRegistry): Set<string> {
  const same = registry.fixed.filter((other) => storedAs(other) === def && other.kind === def.kind);
  return new Set([def, ...same].map(({ group }) => group));
}
