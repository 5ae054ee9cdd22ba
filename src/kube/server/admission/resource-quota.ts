/**
 * Refuses what a namespace's quotas do not allow (apiserver pkg/admission/plugin/resourcequota). It counts the objects
 * that are stored at this moment, not a status that lags behind, so it must be the last plugin before the write.
 */
import type { KubeObject } from '../../../api/object.ts';
import { add, exact, formatExact, zero, type ExactQuantity } from '../../../api/kubernetes/exact-quantity.ts';
import {
  addedUsage,
  matchesScopes,
  measuredNames,
  missingCompute,
  usageOf,
} from '../../../api/kubernetes/quota-usage.ts';
import { resourceQuotas, type ResourceQuota } from '../../../api/kubernetes/quotas.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../service/admission-plugin.ts';
import { forbidden } from '../service/errors.ts';

export const resourceQuota: AdmissionPlugin = {
  name: 'ResourceQuota',
  validate(attributes) {
    const { namespace, subresource, object, stored } = attributes;
    if (namespace === undefined || subresource || !object || !isCounted(attributes)) return;
    const quotas = [...stored(resourceQuotas, namespace)];
    attributes.usage.keepOnly(quotas, attributes.def, namespace);
    for (const quota of quotas) checkQuota(quota, attributes, object, namespace);
  },
};

/** Creations, and updates of what can come to ask for more. */
function isCounted({ operation, def }: AdmissionAttributes): boolean {
  if (operation === 'CREATE') return true;
  const grows = def.plural === 'services' || def.plural === 'persistentvolumeclaims';
  return operation === 'UPDATE' && def.group === '' && grows;
}

function checkQuota(
  quota: ResourceQuota,
  attributes: AdmissionAttributes,
  object: KubeObject,
  namespace: string,
): void {
  const { def, name, old, now, usage } = attributes;
  const names = measuredNames(quota, def);
  if (names.length === 0 || !matchesScopes(quota, def, object)) return;
  if (def.group === '' && def.plural === 'pods') {
    const missing = missingCompute(object, names);
    if (missing) throw forbidden(def, name, `failed quota: ${quota.metadata.name}: must specify ${missing}`);
  }
  const before = old && matchesScopes(quota, def, old) ? usageOf(def, old, now) : undefined;
  const requested = addedUsage(usageOf(def, object, now), before);
  const concerned = names.filter((each) => requested.has(each));
  if (concerned.length === 0) return;
  const used = usage.used(quota, def, namespace, now);
  const hard = new Map(concerned.map((each) => [each, exact(quota.spec?.hard?.[each])]));
  const at = (list: ReadonlyMap<string, ExactQuantity>, each: string): ExactQuantity =>
    list.get(each) ?? zero;
  const exceeded = concerned.filter(
    (each) => add(at(used, each), at(requested, each)).nano > at(hard, each).nano,
  );
  if (exceeded.length === 0) return;
  const shown = (list: ReadonlyMap<string, ExactQuantity>): string =>
    exceeded
      .sort()
      .map((each) => `${each}=${formatExact(at(list, each))}`)
      .join(',');
  throw forbidden(
    def,
    name,
    `exceeded quota: ${quota.metadata.name}, requested: ${shown(requested)}, used: ${shown(used)}, limited: ${shown(hard)}`,
  );
}
