/** What a container runtime has to do for the node agent. The pod's life is the agent's business, not the driver's. */
import type { Json } from '../../base/json.ts';
import type { PortConnector } from '../streams/ports.ts';
import type { Command, StreamOptions } from '../../kube/server/pod-streams/source.ts';
import type { TerminalSize } from '../../kube/server/pod-streams/terminal-size.ts';

export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface SandboxSpec {
  readonly pod: PodIdentity;
  /** The pod's own directory, which exists. */
  readonly dir: string;
  readonly hostname: string;
  /** The full name that a headless Service gives the pod, where it has one. */
  readonly fullHostname: string | undefined;
  readonly hostNetwork: boolean;
  /** This machine's address, which a pod on its network has. */
  readonly hostIP: string;
  /** Container ports that the pod declares, or names in PORT. */
  readonly ports: readonly number[];
  /** Extra lines of /etc/hosts. */
  readonly hostAliases: readonly { readonly ip: string; readonly names: readonly string[] }[];
  readonly dns: PodDns;
}

/** What /etc/resolv.conf of a pod is made of. */
export interface PodDns {
  /** The servers and the search list that come before the pod's own: this machine's, those of the cluster, or none. */
  readonly base: 'host' | 'none' | { readonly server: string; readonly searches: readonly string[] };
  /** What the pod adds (`spec.dnsConfig`). */
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  /** `ndots:2`, `edns0`; replace those of the same name. */
  readonly options: readonly string[];
}

/** The network that a driver gives to pods. */
export interface PodNetworkPlace {
  readonly bridge: string;
  /** Of every pod, `10.x.0.0/16`. */
  readonly subnet: string;
}

/** What the containers of a pod share. */
export interface Sandbox {
  readonly spec: SandboxSpec;
  /** Where the pod's ports can be reached from this machine. */
  readonly ip: string;
  /** Container port → port on `ip`, where they differ. */
  readonly portMap: ReadonlyMap<number, number> | undefined;
  /** What {@link Driver.adoptSandbox} needs after a restart of the agent. */
  readonly state: Json;
}

/** A host file or directory, or a fresh tmpfs (`source` absent), seen at `destination`. */
export interface ContainerMount {
  readonly source: string | undefined;
  /**
   * Relative to `source`, where containers may change any part of it at any time: only safe-path.ts may look for it, and
   * what it finds must be what is mounted.
   */
  readonly subPath?: string;
  readonly destination: string;
  readonly readOnly: boolean;
  /** Bytes, for a tmpfs. */
  readonly sizeLimit?: number;
}

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

export interface ContainerSpec {
  /** Unique on the machine; letters, digits and dashes. */
  readonly id: string;
  readonly name: string;
  /** Shared image directory: never written to. */
  readonly rootfs: string;
  readonly command: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  /** Absolute path inside the root. */
  readonly cwd: string;
  /** Undefined: nothing was asked for; the driver's own default. */
  readonly user: ContainerUser | undefined;
  readonly mounts: readonly ContainerMount[];
  readonly readOnlyRoot: boolean;
  readonly privileged: boolean;
  readonly allowPrivilegeEscalation: boolean;
  readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
  readonly seccompUnconfined: boolean;
  /** Kernel parameters of the container's own namespaces, names with dots. */
  readonly sysctls: Readonly<Record<string, string>>;
  readonly limits: {
    readonly memoryBytes: number | undefined;
    /** Thousandths of a CPU. */
    readonly cpuMillis: number | undefined;
    /** Thousandths of a CPU asked for: the relative weight under contention. */
    readonly cpuRequestMillis: number;
  };
  /** Standard output and error are appended here. */
  readonly logPath: string;
  /** A named pipe that somebody holds open: standard input. Undefined: it is empty. */
  readonly stdin: string | undefined;
  /** A process of this machine whose processes are seen, instead of the container's own alone. */
  readonly sharesProcessesOf: number | undefined;
  /** What it shares with this machine: its processes, and its System V memory and queues. */
  readonly sharesWithHost: { readonly processes: boolean; readonly ipc: boolean };
  /** Standard input, output and error are a terminal; it is fed from `stdin` and logged to `logPath`. */
  readonly tty: boolean;
  /** Files mounted into the container that the agent fills (the termination message). */
  readonly terminationMessage: { readonly source: string; readonly destination: string };
}

export interface ExitStatus {
  /** 128 + signal number when a signal ended it; undefined when nobody saw the end. */
  readonly exitCode: number | undefined;
  readonly signal: number | undefined;
  readonly oomKilled: boolean;
  /** The runtime's words, when it turned out after `started` that the command cannot be run. */
  readonly startFailure?: string;
}

export interface ExecResult {
  /** Undefined when it ran out of time. */
  readonly exitCode: number | undefined;
  /** Standard output and error together, capped. */
  readonly output: string;
}

export interface ExecOptions {
  readonly timeoutMs: number;
}

/** The streams of a command that a client follows. */
export interface CommandOptions extends StreamOptions {
  /** Of the client's terminal, where it is known. */
  readonly size: TerminalSize | undefined;
}

export interface ContainerStats {
  readonly memoryBytes: number;
  /** CPU time used since the start, ms. */
  readonly cpuMs: number;
}

/** Thrown (as a rejection of `started`) when the command cannot be run at all. */
export class StartError extends Error {
  override name = 'StartError';
}

export interface ContainerHandle {
  readonly id: string;
  /** Resolves when the container's process exists; rejects with {@link StartError}. */
  readonly started: Promise<void>;
  /** Resolves once, after `started` resolved and the container ended. Never rejects. */
  readonly exited: Promise<ExitStatus>;
  /** What {@link Driver.adopt} needs; complete once `started` has resolved. */
  readonly state: Json;
  /** The main process as this machine numbers it; undefined while it is not known. */
  readonly pid: number | undefined;
  /** Path by which the terminal of the main process can be opened; undefined while there is none. */
  terminal(): string | undefined;
  /** To the main process, or for SIGKILL to everything in the container. Does nothing when it has ended. */
  signal(name: NodeJS.Signals): void;
  exec(command: readonly string[], options: ExecOptions): Promise<ExecResult>;
  /** Starts a command with streams. Rejects, worded for people, when it cannot be started. */
  open(command: readonly string[], options: CommandOptions): Promise<Command>;
  /** Undefined when it has ended or the machine does not tell. */
  stats(): Promise<ContainerStats | undefined>;
  /** Frees what an ended container still holds. */
  remove(): Promise<void>;
}

export interface Driver {
  readonly name: 'oci' | 'process';
  /** Why this driver, and what it does not isolate; for people. */
  readonly reason: string;
  /** `containerd`-like name and version for the Node object: `crun://1.8.1`. */
  readonly runtimeVersion: string;
  /** Where pods reach processes of this machine. */
  readonly hostAddress: string;
  /** Undefined where pods use the network of this machine. */
  readonly podNetwork: PodNetworkPlace | undefined;
  createSandbox(spec: SandboxSpec): Promise<Sandbox>;
  /** The sandbox of an earlier agent, or undefined when it is gone. */
  adoptSandbox(spec: SandboxSpec, state: Json): Promise<Sandbox | undefined>;
  /** Containers must have ended. Does nothing for what is already gone. */
  removeSandbox(sandbox: Sandbox): Promise<void>;
  /** Ports of the pod as its own processes see them, also those that are open on loopback alone. */
  ports(sandbox: Sandbox): PortConnector;
  start(sandbox: Sandbox, spec: ContainerSpec): ContainerHandle;
  /** A container of an earlier agent. `exited` resolves at once when it has ended meanwhile. */
  adopt(id: string, state: Json): ContainerHandle;
  /** Removes everything of this data directory that belongs to none of these pods. */
  sweep(livePodUids: ReadonlySet<string>): Promise<void>;
  /** `everything`: also what pods share (bridge, cgroup parent). Running pods keep running otherwise. */
  close(everything: boolean): Promise<void>;
}
