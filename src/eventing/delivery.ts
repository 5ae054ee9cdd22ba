/** How the events of a trigger are delivered, from its spec, its broker's, and the defaults of the installation. Pure. */
import { parsePeriod } from '../base/period.ts';
import { yaml } from '../base/yaml.ts';
import type { DeliverySpec } from '../api/eventing/ducks.ts';
import type { DeliveryPolicy } from './dispatcher/dispatcher.ts';

export const systemNamespace = 'knative-eventing';
/** ConfigMap with the defaults of brokers, in {@link systemNamespace}. */
export const brokerDefaultsName = 'config-br-defaults';

/** What brokers without `spec.delivery` get when the ConfigMap says nothing (knative/eventing config-br-defaults). */
export const builtinDelivery: DeliverySpec = {
  retry: 10,
  backoffPolicy: 'exponential',
  backoffDelay: 'PT0.2S',
};

/**
 * The default delivery of brokers in a namespace.
 * @param data `data` of the ConfigMap; undefined when there is none.
 * @throws Error when the ConfigMap's YAML cannot be read.
 */
export function defaultDelivery(
  data: { readonly [key: string]: string } | undefined,
  namespace: string,
): DeliverySpec {
  const text = data?.['default-br-config'];
  if (!text) return builtinDelivery;
  const config = yaml().parse(text) as {
    clusterDefault?: { delivery?: DeliverySpec };
    namespaceDefaults?: { [namespace: string]: { delivery?: DeliverySpec } | undefined };
  } | null;
  return (
    config?.namespaceDefaults?.[namespace]?.delivery ?? config?.clusterDefault?.delivery ?? builtinDelivery
  );
}

/**
 * The first delivery spec that is there counts, whole: specs do not merge. Only the dead letter sink falls back, which
 * the caller resolves.
 */
export function deliveryPolicy(...specs: readonly (DeliverySpec | undefined)[]): DeliveryPolicy {
  const spec = specs.find((candidate) => candidate !== undefined) ?? {};
  const ms = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : parsePeriod(text);
  return {
    retry: spec.retry ?? 0,
    backoffPolicy:
      spec.backoffPolicy === 'linear' || spec.backoffPolicy === 'exponential'
        ? spec.backoffPolicy
        : undefined,
    backoffDelay: ms(spec.backoffDelay),
    timeoutMs: ms(spec.timeout),
    format: spec.format === 'json' ? 'json' : 'binary',
  };
}
