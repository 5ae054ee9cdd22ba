/**
 * The resources that are served now: those that the platform brings, and those that CustomResourceDefinitions add, change
 * and remove while it runs. Whoever depends on the set reads it here each time, or listens.
 */
import { apiVersionOf, qualifiedName, storedAs, type ResourceDef } from '../api/resource.ts';

/** A set of resources that may change; `generation` moves with every change. */
export interface ResourceSource {
  readonly generation: number;
  /** Every version that is served. The same array until the generation moves. */
  readonly resources: readonly ResourceDef[];
}

/** What a change did to the kinds of stored objects. A kind whose definition was replaced is in both lists. */
export interface ResourceChange {
  readonly added: readonly ResourceDef[];
  readonly removed: readonly ResourceDef[];
}

/** One custom resource with all its versions. */
export interface CustomResource {
  readonly served: readonly ResourceDef[];
  /** Need not be served. */
  readonly stored: ResourceDef;
}

export class ResourceRegistry implements ResourceSource {
  readonly #fixed: readonly ResourceDef[];
  readonly #custom = new Map<string, CustomResource>();
  readonly #listeners = new Set<(change: ResourceChange) => void>();
  /** By group version and plural: ends when that path is no longer served. */
  readonly #lifetimes = new Map<string, AbortController>();
  #resources: readonly ResourceDef[];
  #generation = 1;

  /** `fixed` stay for good. */
  constructor(fixed: readonly ResourceDef[]) {
    this.#fixed = fixed;
    this.#resources = fixed;
  }

  get generation(): number {
    return this.#generation;
  }

  get resources(): readonly ResourceDef[] {
    return this.#resources;
  }

  /** The resources that the platform brings. */
  get fixed(): readonly ResourceDef[] {
    return this.#fixed;
  }

  /** One definition for each kind of stored object: what owner references, namespaces and quotas are about. */
  get stored(): readonly ResourceDef[] {
    const fixed = this.#fixed.filter((def) => storedAs(def) === def);
    return [...fixed, ...[...this.#custom.values()].map(({ stored }) => stored)];
  }

  find(apiVersion: string, plural: string): ResourceDef | undefined {
    return this.#resources.find((def) => def.plural === plural && apiVersionOf(def) === apiVersion);
  }

  isCustom(def: ResourceDef): boolean {
    return this.#custom.has(qualifiedName(def));
  }

  /** Adds a custom resource (`plural.group`), replaces it, or removes it. Listeners are told before this returns. */
  set(name: string, resource: CustomResource | undefined): void {
    const before = this.#custom.get(name);
    if (!before && !resource) return;
    if (resource) this.#custom.set(name, resource);
    else this.#custom.delete(name);
    this.#resources = [...this.#fixed, ...[...this.#custom.values()].flatMap(({ served }) => served)];
    this.#generation++;
    const paths = new Set((resource?.served ?? []).map(pathOf));
    for (const path of (before?.served ?? []).map(pathOf)) {
      if (paths.has(path)) continue;
      this.#lifetimes.get(path)?.abort();
      this.#lifetimes.delete(path);
    }
    const change = {
      added: resource ? [resource.stored] : [],
      removed: before ? [before.stored] : [],
    };
    for (const listener of this.#listeners) listener(change);
  }

  /** Aborted when the definition's group version and plural are no longer served. Undefined for what stays for good. */
  lifetime(def: ResourceDef): AbortSignal | undefined {
    if (!this.isCustom(def)) return undefined;
    const path = pathOf(def);
    let controller = this.#lifetimes.get(path);
    if (!controller) {
      controller = new AbortController();
      this.#lifetimes.set(path, controller);
    }
    return controller.signal;
  }

  /** Returns the unsubscription. */
  onChange(listener: (change: ResourceChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/**
 * The definition for those who look at metadata alone: objects come as they are stored, whatever their version, and no
 * webhook is asked.
 */
export function asStored(def: ResourceDef): ResourceDef {
  const { conversion: _, ...rest } = def;
  return rest;
}

function pathOf(def: ResourceDef): string {
  return `${apiVersionOf(def)}/${def.plural}`;
}
