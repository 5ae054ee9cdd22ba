/** Keeps what quotas say of their use (kubernetes pkg/controller/resourcequota). Enforcement does not depend on it. */
import { deepEqual } from '../base/json.ts';
import { keyOf, type KubeObject } from '../api/object.ts';
import type { ResourceDef } from '../api/resource.ts';
import { formatExact, type ExactQuantity } from '../api/kubernetes/exact-quantity.ts';
import { measuredNames, measures, totalUsage } from '../api/kubernetes/quota-usage.ts';
import { resourceQuotas, type ResourceQuota } from '../api/kubernetes/quotas.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import { writeStatus } from '../kube/controller/write-status.ts';
import type { ResourceRegistry } from '../kube/resource-registry.ts';

/** Kinds that come and go at run time are not watched, but looked at again after this long, ms. */
const customRecountMs = 2000;

type Registry = Pick<ResourceRegistry, 'fixed' | 'stored' | 'isCustom'>;

export function quotaController(env: ControllerEnv, registry: Registry): Controller {
  return new QuotaController(env, registry);
}

class QuotaController implements Controller {
  readonly name = 'resource quota';
  readonly root = resourceQuotas;
  /** Many pods that come and go together are one count. */
  readonly restMs = 50;
  readonly watches;
  readonly #env: ControllerEnv;
  readonly #registry: Registry;
  readonly #quotas: Informer<ResourceQuota>;

  constructor(env: ControllerEnv, registry: Registry) {
    this.#env = env;
    this.#registry = registry;
    this.#quotas = env.informers.for(resourceQuotas);
    this.watches = registry.fixed
      .filter((def) => def.namespaced)
      .map((def) => watches(def, (object) => this.#quotasOver(def, object)));
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const quota = this.#quotas.get(`${key.namespace ?? ''}/${key.name}`);
    if (!quota?.spec || quota.metadata.deletionTimestamp) return undefined;
    const used = new Map<string, ExactQuantity>();
    let custom = false;
    for (const def of this.#registry.stored) {
      const names = def.namespaced ? measuredNames(quota, def) : [];
      if (names.length === 0) continue;
      const isCustom = this.#registry.isCustom(def);
      custom ||= isCustom;
      const objects = await this.#objects(def, key.namespace ?? '', isCustom);
      for (const [name, amount] of totalUsage(quota, def, objects, names, this.#env.clock.now())) {
        used.set(name, amount);
      }
    }
    const status = {
      hard: quota.spec.hard ?? {},
      used: Object.fromEntries([...used].map(([name, amount]) => [name, formatExact(amount)])),
    };
    if (!deepEqual(quota.status ?? {}, status)) {
      await writeStatus(this.#env.client, resourceQuotas, quota, status);
    }
    return custom ? { requeueAfter: customRecountMs } : undefined;
  }

  async #objects(def: ResourceDef, namespace: string, isCustom: boolean): Promise<readonly KubeObject[]> {
    if (!isCustom) return this.#env.informers.for(def).list({ namespace });
    return (await this.#env.client.list(def, { namespace })).items;
  }

  #quotasOver(def: ResourceDef, object: KubeObject): string[] {
    const quotas = this.#quotas.list({ namespace: object.metadata.namespace ?? '' });
    return quotas
      .filter((quota) => Object.keys(quota.spec?.hard ?? {}).some((name) => measures(def, name)))
      .map(keyOf);
  }
}
