/** How a pod looks up names: its DNS policy (kubernetes pkg/kubelet/network/dns). Pure. */
import type { Pod } from '../api/pods.ts';
import type { PodDns } from './drivers/driver.ts';
import { hostnameOf } from './environment.ts';

/** Where pods ask for the names of the cluster. */
export interface ClusterDns {
  /** An IP address; its port is 53. */
  readonly server: string;
  /** `cluster.local`. */
  readonly domain: string;
}

/** `cluster`: undefined where there is no such server; pods then look up names as this machine does. */
export function makePodDns(pod: Pod, cluster: ClusterDns | undefined): PodDns {
  const { dnsPolicy = 'ClusterFirst', dnsConfig = {}, hostNetwork = false } = pod.spec ?? {};
  return {
    base: baseOf(),
    nameservers: dnsConfig.nameservers ?? [],
    searches: dnsConfig.searches ?? [],
    options: (dnsConfig.options ?? []).flatMap(({ name, value }) => {
      if (!name) return [];
      return value === undefined || value === '' ? [name] : [`${name}:${value}`];
    }),
  };

  function baseOf(): PodDns['base'] {
    if (dnsPolicy === 'None') return 'none';
    // Somebody in the network of the machine resolves as the machine does, unless asked otherwise.
    const first = dnsPolicy === 'ClusterFirstWithHostNet' || (dnsPolicy === 'ClusterFirst' && !hostNetwork);
    if (!first || !cluster) return 'host';
    const { server, domain } = cluster;
    return { server, searches: [`${pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain] };
  }
}

/** `hostname.subdomain.namespace.svc.cluster.local` of a pod that names a headless Service as its subdomain. */
export function fullHostnameOf(pod: Pod, domain: string): string | undefined {
  const { subdomain } = pod.spec ?? {};
  if (!subdomain) return undefined;
  return `${hostnameOf(pod)}.${subdomain}.${pod.metadata.namespace}.svc.${domain}`;
}
