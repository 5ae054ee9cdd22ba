/** RuntimeClasses on this node: their handler must be what runs pods here. */
import { runtimeClasses } from '../api/kubernetes/runtime-classes.ts';
import type { Pod } from '../api/pods.ts';
import type { Informers } from '../kube/client/informer.ts';
import type { Driver } from './drivers/driver.ts';

/** `oci` with the name of its runtime (`crun`), or `process`. */
function handlersOf({ name, runtimeVersion }: Pick<Driver, 'name' | 'runtimeVersion'>): string[] {
  return [...new Set([name, runtimeVersion.split(':')[0] ?? name])];
}

/** Undefined when the pod can run here; otherwise why not, as a kubelet and containerd say it. */
export function whyNoHandler(
  pod: Pod,
  informers: Informers,
  driver: Pick<Driver, 'name' | 'runtimeVersion'>,
): string | undefined {
  const name = pod.spec?.runtimeClassName;
  if (!name) return undefined;
  const handler = informers.for(runtimeClasses).get(name)?.handler;
  if (handler === undefined) return `RuntimeClass "${name}" not found`;
  const served = handlersOf(driver);
  if (served.includes(handler)) return undefined;
  return `no runtime for ${JSON.stringify(handler)} is configured (there are ${served.join(', ')})`;
}
