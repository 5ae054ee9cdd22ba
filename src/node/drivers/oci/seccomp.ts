/** The default seccomp profile: what no ordinary program needs and what has been a way out of containers is refused. */

const everyCall = (names: readonly string[], errnoRet: number) => ({
  names,
  action: 'SCMP_ACT_ERRNO',
  errnoRet,
});

const notPermitted = 1;
const notImplemented = 38;

/** Namespace flags of clone(2) and unshare(2): CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}. */
const newNamespaces = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000];

const kernelAndMachine = [
  'acct', 'add_key', 'bpf', 'clock_adjtime', 'clock_settime', 'create_module', 'delete_module', 'finit_module',
  'get_kernel_syms', 'init_module', 'ioperm', 'iopl', 'kcmp', 'kexec_file_load', 'kexec_load', 'keyctl',
  'lookup_dcookie', 'nfsservctl', 'open_by_handle_at', 'perf_event_open', 'query_module', 'quotactl',
  'quotactl_fd', 'reboot', 'request_key', 'setdomainname', 'sethostname', 'settimeofday', 'stime', 'swapoff',
  'swapon', 'sysfs', '_sysctl', 'syslog', 'umount', 'uselib', 'userfaultfd', 'ustat', 'vhangup', 'vm86', 'vm86old',
]; // prettier-ignore

const mountsAndNamespaces = [
  'fsconfig', 'fsmount', 'fsopen', 'fspick', 'mount', 'mount_setattr', 'move_mount', 'open_tree',
  'pivot_root', 'setns', 'umount2', 'unshare',
]; // prettier-ignore

/** io_uring goes around filters; programs fall back when the kernel seems not to have it. */
const looksMissing = ['io_uring_enter', 'io_uring_register', 'io_uring_setup', 'clone3'];

const architectures: Record<string, readonly string[]> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

/** OCI `linux.seccomp`; undefined on a processor for which the profile is not written. */
export function seccompProfile(arch: string): object | undefined {
  const names = architectures[arch];
  if (!names) return undefined;
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: names,
    syscalls: [
      everyCall([...kernelAndMachine, ...mountsAndNamespaces], notPermitted),
      everyCall(looksMissing, notImplemented),
      ...newNamespaces.map((flag) => ({
        names: ['clone'],
        action: 'SCMP_ACT_ERRNO',
        errnoRet: notPermitted,
        args: [{ index: 0, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ' }],
      })),
    ],
  };
}
