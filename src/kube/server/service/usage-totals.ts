/**
 * What the objects of a namespace use together, for quotas: kept up to date by each write, so that no creation counts
 * thousands of pods. Always equal to `totalUsage` over what the table holds, but for how sums are written.
 */
import type { KubeObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { add, subtract, zero, type ExactQuantity } from '../../../api/kubernetes/exact-quantity.ts';
import type { Amounts } from '../../../api/kubernetes/pod-resources.ts';
import { matchesScopes, pastCharge, usageOf } from '../../../api/kubernetes/quota-usage.ts';
import { scopeRequirements, type ResourceQuota } from '../../../api/kubernetes/quotas.ts';
import type { StoredRecord } from '../../store/record.ts';
import type { Table } from '../../store/table.ts';

export class UsageTotals {
  readonly #tableOf: (def: ResourceDef) => Table;
  /** By table; then by namespace; then by the scopes of the quotas. */
  readonly #counters = new Map<Table, Map<string, Map<string, Counter>>>();

  constructor(tableOf: (def: ResourceDef) => Table) {
    this.#tableOf = tableOf;
  }

  /**
   * What the namespace's objects of a resource that the quota is about use, by name. `now` is milliseconds since the
   * epoch. The first question counts everything once.
   */
  used(quota: ResourceQuota, def: ResourceDef, namespace: string, now: number): Amounts {
    const scopes = JSON.stringify(scopeRequirements(quota));
    const counters = this.#countersOf(this.#tableOf(def), namespace);
    let counter = counters.get(scopes);
    if (!counter) {
      counter = new Counter(quota, def, now);
      for (const record of this.#tableOf(def).records(namespace)) counter.set(record.key, record.object);
      counters.set(scopes, counter);
    }
    return counter.totals(now);
  }

  /** Counts no longer for scopes that none of these quotas has: all there are in the namespace. */
  keepOnly(quotas: readonly ResourceQuota[], def: ResourceDef, namespace: string): void {
    const namespaces = this.#counters.get(this.#tableOf(def));
    const counters = namespaces?.get(namespace);
    if (!counters) return;
    const scopes = new Set(quotas.map((quota) => JSON.stringify(scopeRequirements(quota))));
    for (const each of counters.keys()) if (!scopes.has(each)) counters.delete(each);
    if (counters.size === 0) namespaces?.delete(namespace);
  }

  #countersOf(table: Table, namespace: string): Map<string, Counter> {
    let namespaces = this.#counters.get(table);
    if (!namespaces) {
      const made = new Map<string, Map<string, Counter>>();
      table.observe((key, record) => update(made, key, record));
      this.#counters.set(table, made);
      namespaces = made;
    }
    let counters = namespaces.get(namespace);
    if (!counters) {
      counters = new Map();
      namespaces.set(namespace, counters);
    }
    return counters;
  }
}

function update(
  namespaces: Map<string, Map<string, Counter>>,
  key: string,
  record: StoredRecord | undefined,
): void {
  const namespace = key.slice(0, key.indexOf('/'));
  const counters = namespaces.get(namespace);
  if (!counters) return;
  for (const [scopes, counter] of counters) {
    counter.set(key, record?.object);
    // The namespace may be on its way out.
    if (counter.isEmpty) counters.delete(scopes);
  }
  if (counters.size === 0) namespaces.delete(namespace);
}

/** The sums over the objects of one resource in one namespace that match the scopes of a quota. */
class Counter {
  readonly #quota: ResourceQuota;
  readonly #def: ResourceDef;
  readonly #totals = new Map<string, ExactQuantity>();
  /** What each object has been counted for. */
  readonly #counted = new Map<string, Amounts>();
  /** Objects that cease to be charged for as time goes by, with the moment after which they are not. */
  readonly #leaving = new Map<string, { readonly object: KubeObject; readonly after: number }>();
  #now: number;

  constructor(quota: ResourceQuota, def: ResourceDef, now: number) {
    this.#quota = quota;
    this.#def = def;
    this.#now = now;
  }

  get isEmpty(): boolean {
    return this.#counted.size === 0;
  }

  totals(now: number): Amounts {
    this.#now = now;
    for (const [key, { object, after }] of this.#leaving) if (now > after) this.set(key, object);
    return this.#totals;
  }

  /** Undefined: the object is gone. */
  set(key: string, object: KubeObject | undefined): void {
    const before = this.#counted.get(key);
    if (before) this.#add(before, subtract);
    this.#counted.delete(key);
    this.#leaving.delete(key);
    if (!object || !matchesScopes(this.#quota, this.#def, object)) return;
    const amounts = usageOf(this.#def, object, this.#now);
    this.#counted.set(key, amounts);
    this.#add(amounts, add);
    const after = pastCharge(this.#def, object);
    if (after !== undefined && this.#now <= after) this.#leaving.set(key, { object, after });
  }

  #add(amounts: Amounts, operation: typeof add): void {
    for (const [name, amount] of amounts) {
      const total = operation(this.#totals.get(name) ?? zero, amount);
      if (total.nano === 0n) this.#totals.delete(name);
      else this.#totals.set(name, total);
    }
  }
}
