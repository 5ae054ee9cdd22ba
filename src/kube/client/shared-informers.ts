/**
 * Reflectors: list once, then follow the watch for ever. A broken watch resumes from the last version seen; an expired
 * one lists again and tells listeners only the differences (client-go `Reflector` and `SharedInformer`).
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { messageOf } from '../../base/errors.ts';
import { keyOf, type KubeObject } from '../../api/object.ts';
import { qualifiedName, type ResourceDef } from '../../api/resource.ts';
import { hasReason } from '../api-error.ts';
import type { Client } from './client.ts';
import type { Change, Informer, Informers } from './informer.ts';
import { ObjectIndex } from './object-index.ts';

/** Wait before listing again after a failure, ms: first, and at most. */
const firstBackoffMs = 100;
const maxBackoffMs = 30_000;

class SharedInformer<T extends KubeObject> implements Informer<T> {
  readonly #index = new ObjectIndex<T>();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  readonly #def: ResourceDef<T>;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  readonly #closing = new AbortController();
  readonly #synced = Promise.withResolvers<void>();

  constructor(def: ResourceDef<T>, client: Client, clock: Clock, log: Logger, signal: AbortSignal) {
    this.#def = def;
    this.#client = client;
    this.#clock = clock;
    this.#log = log.child({ informer: qualifiedName(def) });
    this.#signal = AbortSignal.any([signal, this.#closing.signal]);
    void this.#run();
  }

  /** Follows no more. What is in the cache stays as it is. */
  close(): void {
    this.#closing.abort();
  }

  get(key: string): T | undefined {
    return this.#index.get(key);
  }

  list(filter: { namespace?: string; labels?: { readonly [key: string]: string } } = {}): T[] {
    return this.#index.list(filter);
  }

  ownedBy(uid: string): T[] {
    return this.#index.ownedBy(uid);
  }

  onChange(listener: (change: Change<T>) => void): () => void {
    for (const object of this.#index.list({})) listener({ type: 'added', object });
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  synced(): Promise<void> {
    return this.#synced.promise;
  }

  async #run(): Promise<void> {
    let backoff = firstBackoffMs;
    while (!this.#signal.aborted) {
      try {
        const { items, resourceVersion } = await this.#listAll();
        this.#replace(items);
        this.#synced.resolve();
        backoff = firstBackoffMs;
        await this.#follow(resourceVersion);
      } catch (error) {
        if (this.#signal.aborted) return;
        if (!hasReason(error, 'Expired', 'Gone')) {
          this.#log.warn({ error: messageOf(error), retryMs: backoff }, 'list or watch failed');
          await this.#pause(backoff);
          backoff = Math.min(backoff * 2, maxBackoffMs);
        }
      }
    }
  }

  /** All pages; the version of the last page is where the watch starts. */
  async #listAll(): Promise<{ items: T[]; resourceVersion: string }> {
    const items: T[] = [];
    let next: string | undefined;
    for (;;) {
      const page = await this.#client.list(this.#def, { limit: 500, ...(next ? { continue: next } : {}) });
      items.push(...page.items);
      next = page.continue;
      if (!next) return { items, resourceVersion: page.resourceVersion };
    }
  }

  /** Follows watches until the version expires. A watch that merely ends is resumed where it stopped. */
  async #follow(resourceVersion: string): Promise<void> {
    let version = resourceVersion;
    while (!this.#signal.aborted) {
      const started = this.#clock.now();
      const watch = this.#client.watch(this.#def, {
        resourceVersion: version,
        allowBookmarks: true,
        signal: this.#signal,
      });
      for await (const event of watch) {
        version = event.object.metadata.resourceVersion ?? version;
        if (event.type === 'BOOKMARK') continue;
        if (event.type === 'DELETED') this.#remove(keyOf(event.object), event.object);
        else this.#set(event.object);
      }
      // A server that ends every watch at once must not be hammered.
      if (this.#clock.now() - started < 1000) await this.#pause(firstBackoffMs);
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, resolve);
      this.#signal.addEventListener('abort', () => (cancel(), resolve()), { once: true });
    });
  }

  #replace(items: readonly T[]): void {
    const seen = new Set(items.map(keyOf));
    for (const object of this.#index.list({}))
      if (!seen.has(keyOf(object))) this.#remove(keyOf(object), object);
    for (const object of items) this.#set(object);
  }

  #set(object: T): void {
    const old = this.#index.set(object);
    if (old?.metadata.resourceVersion === object.metadata.resourceVersion) return;
    this.#emit(old ? { type: 'modified', object, old } : { type: 'added', object });
  }

  #remove(key: string, object: T): void {
    const old = this.#index.delete(key);
    if (old) this.#emit({ type: 'deleted', object, old });
  }

  #emit(change: Change<T>): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.#log.error({ error: messageOf(error), key: keyOf(change.object) }, 'informer listener threw');
      }
    }
  }
}

/** One reflector per resource, started when first asked for, stopped together. */
export class SharedInformers implements Informers {
  readonly #informers = new Map<string, SharedInformer<KubeObject>>();
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #abort = new AbortController();

  constructor(options: { client: Client; clock: Clock; log: Logger }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  for<T extends KubeObject>(def: ResourceDef<T>): Informer<T> {
    const name = qualifiedName(def);
    let informer = this.#informers.get(name);
    if (!informer) {
      informer = new SharedInformer<KubeObject>(
        def,
        this.#client,
        this.#clock,
        this.#log,
        this.#abort.signal,
      );
      this.#informers.set(name, informer);
    }
    // The map is keyed by resource, so the object type is the one that the definition carries.
    return informer as unknown as Informer<T>;
  }

  forget(def: ResourceDef): void {
    const name = qualifiedName(def);
    this.#informers.get(name)?.close();
    this.#informers.delete(name);
  }

  /** Resolves when every informer asked for so far holds its first list. */
  async synced(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.synced()));
  }

  close(): void {
    this.#abort.abort();
  }
}
