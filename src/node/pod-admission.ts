/** Pods that this node takes and can never run: they fail at once, in a kubelet's words. Pure. */
import { safeSysctls } from '../api/kubernetes/sysctls.ts';
import type { Pod } from '../api/pods.ts';

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
