/** Pods that this node takes and can never run: they fail at once, in a kubelet's words. Pure. */
import type { Pod } from '../api/pods.ts';

/** Each belongs to a namespace of the pod's own, and touches nobody else (kubelet `SafeSysctlAllowlist`). */
const safeSysctls = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
]);

/** Why a pod fails before it begins. */
export interface Rejection {
  readonly reason: string;
  readonly message: string;
}

/** Undefined when nothing forbids to run the pod. `platform` is `process.platform`. */
export function whyRejected(pod: Pod, platform: string): Rejection | undefined {
  const os = pod.spec?.os?.name;
  if (os && os !== (platform === 'darwin' ? 'linux' : platform)) {
    return reject('PodOSNotSupported', "Failed to admit pod as the OS field doesn't match node OS");
  }
  for (const [name] of sysctlsOf(pod)) {
    const why = whyForbidden(name, pod);
    if (why !== undefined)
      return reject('SysctlForbidden', `forbidden sysctl: ${JSON.stringify(name)} ${why}`);
  }
  return undefined;
}

function reject(reason: string, message: string): Rejection {
  return { reason, message };
}

function whyForbidden(name: string, { spec }: Pod): string | undefined {
  if (!safeSysctls.has(name)) return 'not allowlisted';
  if (spec?.hostNetwork && name.startsWith('net.')) return 'not allowed with host net enabled';
  if (spec?.hostIPC && name.startsWith('kernel.')) return 'not allowed with host ipc enabled';
  return undefined;
}

/** Kernel parameters that the pod sets, with dots between the parts of their names. */
export function sysctlsOf({ spec }: Pod): [string, string][] {
  return (spec?.securityContext?.sysctls ?? []).map(({ name, value }) => [dotted(name), value]);
}

/** `net/ipv4/conf/eth0.1/x` is `net.ipv4.conf.eth0/1.x`: the first separator tells (sysctl.d(5)). */
function dotted(name: string): string {
  if (/[./]/.exec(name)?.[0] !== '/') return name;
  return name.replace(/[./]/g, (separator) => (separator === '/' ? '.' : '/'));
}
