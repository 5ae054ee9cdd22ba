/** The OCI runtime configuration (runtime-spec config.json) of a container. Pure. */
import type { ContainerMount, ContainerSpec } from '../driver.ts';
import { seccompProfile } from './seccomp.ts';

export interface BundleInput {
  readonly spec: ContainerSpec;
  readonly hostname: string;
  /** Where the overlay of the image and the container's own layer is mounted. */
  readonly rootfs: string;
  /** Undefined: the host's network. */
  readonly netns: string | undefined;
  /** Read-only views of the container's control group. */
  readonly cgroupMounts: readonly { readonly source: string; readonly destination: string }[];
  /** Set when the runtime makes the group itself. */
  readonly cgroupsPath: string | undefined;
  /** /etc/hosts and the like. */
  readonly files: readonly ContainerMount[];
  /** `process.arch`. */
  readonly arch: string;
}

/**
 * Docker's default set less MKNOD. It is for privileged containers alone, which see the machine's devices anyway: there is
 * no device filter, so whoever makes a device node has the disk of the machine.
 */
const defaultCapabilities = [
  'AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'NET_BIND_SERVICE', 'NET_RAW', 'SETFCAP',
  'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT',
]; // prettier-ignore

const allCapabilities = [
  ...defaultCapabilities, 'AUDIT_CONTROL', 'AUDIT_READ', 'BLOCK_SUSPEND', 'BPF', 'CHECKPOINT_RESTORE',
  'DAC_READ_SEARCH', 'IPC_LOCK', 'IPC_OWNER', 'LEASE', 'LINUX_IMMUTABLE', 'MAC_ADMIN', 'MAC_OVERRIDE', 'MKNOD',
  'NET_ADMIN', 'NET_BROADCAST', 'PERFMON', 'SYSLOG', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_MODULE', 'SYS_NICE', 'SYS_PACCT',
  'SYS_PTRACE', 'SYS_RAWIO', 'SYS_TIME', 'SYS_TTY_CONFIG', 'WAKE_ALARM',
]; // prettier-ignore

const maskedPaths = [
  '/proc/acpi', '/proc/asound', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/sched_debug', '/proc/scsi',
  '/proc/timer_list', '/proc/timer_stats', '/sys/firmware', '/sys/devices/virtual/powercap',
]; // prettier-ignore

const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** Containers go before the platform when the machine runs out of memory. */
const oomScoreAdj = 500;

const baseMounts = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
];

export function makeBundle(input: BundleInput): object {
  const { spec } = input;
  const { sharesProcessesOf: sharedPid, sharesWithHost } = spec;
  const processes =
    sharedPid === undefined ? { type: 'pid' } : { type: 'pid', path: `/proc/${sharedPid}/ns/pid` };
  const user = spec.user ?? { uid: 0, gid: 0, groups: [] };
  const capabilities = capabilitiesOf(spec);
  const effective = user.uid === 0 ? capabilities : [];
  const seccomp = spec.privileged || spec.seccompUnconfined ? undefined : seccompProfile(input.arch);
  return {
    ociVersion: '1.0.2',
    hostname: input.hostname,
    process: {
      terminal: spec.tty,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.groups },
      args: spec.command,
      env: [...withHome(spec)].map(([name, value]) => `${name}=${value}`),
      cwd: spec.cwd,
      capabilities: { bounding: capabilities, permitted: effective, effective },
      noNewPrivileges: !spec.allowPrivilegeEscalation && !spec.privileged,
      oomScoreAdj,
    },
    root: { path: input.rootfs, readonly: spec.readOnlyRoot },
    mounts: mountsOf(input),
    linux: {
      namespaces: [
        ...(sharesWithHost.processes ? [] : [processes]),
        ...(sharesWithHost.ipc ? [] : [{ type: 'ipc' }]),
        { type: 'uts' },
        { type: 'mount' },
        { type: 'cgroup' },
        ...(input.netns ? [{ type: 'network', path: input.netns }] : []),
      ],
      // Ports below 1024 are no privilege in a network of one's own.
      sysctl: { ...(input.netns ? { 'net.ipv4.ip_unprivileged_port_start': '0' } : {}), ...spec.sysctls },
      ...(seccomp ? { seccomp } : {}),
      ...(input.cgroupsPath ? { cgroupsPath: input.cgroupsPath, resources: {} } : {}),
      ...(spec.privileged ? {} : { maskedPaths, readonlyPaths }),
    },
  };
}

function withHome(spec: ContainerSpec): ReadonlyMap<string, string> {
  return spec.env.has('HOME') || (spec.user?.uid ?? 0) !== 0
    ? spec.env
    : new Map([...spec.env, ['HOME', '/root']]);
}

function capabilitiesOf(spec: ContainerSpec): string[] {
  const known = new Set(allCapabilities);
  const names = (list: readonly string[]): string[] =>
    list.map((name) => name.toUpperCase().replace(/^CAP_/, ''));
  const drop = new Set(names(spec.capabilities.drop));
  const add = names(spec.capabilities.add);
  const base = spec.privileged || add.includes('ALL') ? allCapabilities : defaultCapabilities;
  const kept = base.filter((name) => !drop.has('ALL') && !drop.has(name));
  const all = new Set([...kept, ...add.filter((name) => known.has(name))]);
  if (!spec.privileged) all.delete('MKNOD');
  return [...all].map((name) => `CAP_${name}`);
}

function mountsOf({ spec, cgroupMounts, files }: BundleInput): object[] {
  const own = [...files, ...spec.mounts, { ...spec.terminationMessage, readOnly: false }];
  const taken = new Set(own.map((mount) => mount.destination));
  // The runtime contract promises a writable /tmp, also below a read-only root.
  const tmp = spec.readOnlyRoot && !taken.has('/tmp') ? [tmpfs('/tmp')] : [];
  const sys = {
    destination: '/sys',
    type: 'sysfs',
    source: 'sysfs',
    options: ['nosuid', 'noexec', 'nodev', 'ro'],
  };
  return [
    ...baseMounts.filter((mount) => !taken.has(mount.destination)),
    sys,
    ...cgroupMounts.map(({ source, destination }) => ({
      destination,
      type: 'bind',
      source,
      options: ['bind', 'ro', 'nosuid', 'noexec', 'nodev'],
    })),
    ...tmp,
    // A mount inside another comes after it.
    ...own.sort((a, b) => a.destination.length - b.destination.length).map(userMount),
  ];
}

function tmpfs(destination: string, sizeLimit?: number): object {
  const options = ['nosuid', 'nodev', 'mode=1777', ...(sizeLimit ? [`size=${Math.floor(sizeLimit)}`] : [])];
  return { destination, type: 'tmpfs', source: 'tmpfs', options };
}

function userMount(mount: ContainerMount): object {
  if (mount.source === undefined) return tmpfs(mount.destination, mount.sizeLimit);
  return {
    destination: mount.destination,
    type: 'bind',
    source: mount.source,
    options: ['rbind', 'rprivate', ...(mount.readOnly ? ['ro'] : ['rw'])],
  };
}
