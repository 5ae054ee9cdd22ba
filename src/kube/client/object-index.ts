import { keyOf, type KubeObject } from '../../api/object.ts';

/** Objects by key, by owner uid, and by each label key that was ever asked for. */
export class ObjectIndex<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #owners = new Map<string, Set<string>>();
  /** Label key → value → object keys; a label key gets its index at the first query that names it. */
  readonly #labels = new Map<string, Map<string, Set<string>>>();

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  /** Stores and returns the previous version. */
  set(object: T): T | undefined {
    const key = keyOf(object);
    const old = this.#objects.get(key);
    if (old) this.#unlink(key, old);
    this.#objects.set(key, object);
    for (const ref of object.metadata.ownerReferences ?? []) add(this.#owners, ref.uid, key);
    for (const [label, values] of this.#labels) {
      const value = object.metadata.labels?.[label];
      if (value !== undefined) add(values, value, key);
    }
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (!old) return undefined;
    this.#unlink(key, old);
    this.#objects.delete(key);
    return old;
  }

  list(filter: { namespace?: string; labels?: { readonly [key: string]: string } }): T[] {
    const { namespace } = filter;
    const wanted = Object.entries(filter.labels ?? {});
    const [first] = wanted;
    const candidates = first ? this.#byLabel(first[0], first[1]) : this.#objects.values();
    const out: T[] = [];
    for (const object of candidates) {
      if (namespace !== undefined && object.metadata.namespace !== namespace) continue;
      if (wanted.every(([label, value]) => object.metadata.labels?.[label] === value)) out.push(object);
    }
    return out;
  }

  ownedBy(uid: string): T[] {
    return this.#resolve(this.#owners.get(uid));
  }

  #byLabel(label: string, value: string): T[] {
    let values = this.#labels.get(label);
    if (!values) {
      values = new Map();
      for (const [key, object] of this.#objects) {
        const own = object.metadata.labels?.[label];
        if (own !== undefined) add(values, own, key);
      }
      this.#labels.set(label, values);
    }
    return this.#resolve(values.get(value));
  }

  #resolve(keys: Iterable<string> | undefined): T[] {
    const out: T[] = [];
    for (const key of keys ?? []) {
      const object = this.#objects.get(key);
      if (object) out.push(object);
    }
    return out;
  }

  #unlink(key: string, object: T): void {
    for (const ref of object.metadata.ownerReferences ?? []) remove(this.#owners, ref.uid, key);
    for (const [label, values] of this.#labels) {
      const value = object.metadata.labels?.[label];
      if (value !== undefined) remove(values, value, key);
    }
  }
}

function add(index: Map<string, Set<string>>, value: string, key: string): void {
  const keys = index.get(value);
  if (keys) keys.add(key);
  else index.set(value, new Set([key]));
}

function remove(index: Map<string, Set<string>>, value: string, key: string): void {
  const keys = index.get(value);
  keys?.delete(key);
  if (keys?.size === 0) index.delete(value);
}
