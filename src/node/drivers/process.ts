/**
 * The process driver: containers are child processes of this machine, nothing more. It needs Node and the host and runs
 * on macOS too. It does not isolate: a pod sees the host's files, network, users and processes. Linux root gets memory,
 * CPU and process limits by control groups.
 */
import { rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { messageOf } from '../../base/errors.ts';
import type { Json } from '../../base/json.ts';
import { pathInside } from '../safe-path.ts';
import { hostPorts, type PortConnector } from '../streams/ports.ts';
import { Cgroups } from './cgroups.ts';
import {
  StartError,
  type ContainerHandle,
  type ContainerMount,
  type ContainerSpec,
  type Driver,
  type Sandbox,
  type SandboxSpec,
} from './driver.ts';
import { makeHostCommand, type HostCommand } from './host-command.ts';
import { PortAllocator } from './ports.ts';
import { AdoptedContainer, ChildContainer, hostOf, type SavedProcess } from './process-container.ts';
import { findShellPrograms, ShellLauncher } from './process-shell.ts';

const loopback = '127.0.0.1';

interface SavedSandbox {
  readonly ports: readonly (readonly [number, number])[];
}

export interface ProcessDriverOptions {
  /** Names this data directory: groups of several Knapsacks on one machine stay apart. */
  readonly tag: string;
  readonly reason: string;
  /** PATH for commands that the image does not bring. */
  readonly hostPath: string;
  /** The driver keeps what shells write below it. */
  readonly dir: string;
  /** It is only to sweep and close. */
  readonly removesOnly?: boolean;
}

export class ProcessDriver implements Driver {
  readonly name = 'process';
  readonly reason: string;
  readonly runtimeVersion = `process://${process.versions.node}`;
  readonly hostAddress = loopback;
  readonly podNetwork = undefined;
  readonly #ports = new PortAllocator();
  readonly #cgroups: Cgroups | undefined;
  readonly #hostPath: string;
  readonly #dir: string;
  /** Undefined where containers can only be spawned by this process. */
  readonly #launcher: ShellLauncher | undefined;

  constructor(options: ProcessDriverOptions) {
    this.#cgroups = process.geteuid?.() === 0 ? Cgroups.open(options.tag) : undefined;
    const limits = this.#cgroups
      ? 'memory and CPU limits hold'
      : 'memory and CPU limits are not enforced (they need root on Linux)';
    this.reason = `${options.reason}; pods are plain processes: files, network, users and processes of this machine are not isolated, ${limits}`;
    this.#hostPath = options.hostPath;
    this.#dir = options.dir;
    const programs = options.removesOnly ? undefined : findShellPrograms(options.hostPath);
    if (programs) this.#launcher = new ShellLauncher(programs, join(options.dir, 'run'));
  }

  async createSandbox(spec: SandboxSpec): Promise<Sandbox> {
    if (spec.hostNetwork) return sandboxOf(spec, []);
    const ports = await Promise.all(
      [...new Set(spec.ports)].map(async (port) => [port, await this.#ports.allocate()] as const),
    );
    return sandboxOf(spec, ports);
  }

  adoptSandbox(spec: SandboxSpec, state: Json): Promise<Sandbox | undefined> {
    const { ports } = state as unknown as SavedSandbox;
    for (const [, port] of ports) this.#ports.reserve(port);
    return Promise.resolve(sandboxOf(spec, ports));
  }

  removeSandbox(sandbox: Sandbox): Promise<void> {
    for (const port of sandbox.portMap?.values() ?? []) this.#ports.release(port);
    return Promise.resolve();
  }

  ports({ portMap }: Sandbox): PortConnector {
    return hostPorts((port) => portMap?.get(port) ?? port);
  }

  start(sandbox: Sandbox, wanted: ContainerSpec): ContainerHandle {
    // Joining control groups costs a start some 15 ms on version 1, so only a container that is limited pays for it.
    const { memoryBytes, cpuMillis } = wanted.limits;
    const isLimited = memoryBytes !== undefined || cpuMillis !== undefined;
    const group = isLimited ? this.#cgroups?.group(wanted.id) : undefined;
    try {
      const spec = { ...wanted, mounts: wanted.mounts.map(withPath) };
      const command = makeHostCommand(spec, sandbox.portMap ?? new Map(), hostOf(this.#hostPath));
      const launch = { spec, command, group, user: userOf(spec, command), path: this.#hostPath };
      return this.#launcher?.tryStart(launch) ?? new ChildContainer(launch);
    } catch (error) {
      return notStarted(wanted.id, error);
    }
  }

  adopt(id: string, state: Json): ContainerHandle {
    return new AdoptedContainer(
      id,
      state as unknown as SavedProcess,
      this.#cgroups?.group(id),
      this.#launcher?.runDir,
    );
  }

  async sweep(livePodUids: ReadonlySet<string>): Promise<void> {
    for (const name of this.#cgroups?.list() ?? []) {
      if (!livePodUids.has(name.split('_')[0] ?? '')) await this.#cgroups?.group(name).destroy();
    }
    this.#launcher?.sweep(livePodUids);
  }

  async close(everything: boolean): Promise<void> {
    await this.#launcher?.close();
    if (!everything) return;
    this.#cgroups?.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

function sandboxOf(spec: SandboxSpec, ports: SavedSandbox['ports']): Sandbox {
  const state = { ports } as unknown as Json;
  return { spec, ip: loopback, portMap: ports.length > 0 ? new Map(ports) : undefined, state };
}

/** Nothing is mounted: the container gets the path that a sub-path leads to now. */
function withPath({ subPath, ...mount }: ContainerMount): ContainerMount {
  if (subPath === undefined || mount.source === undefined) return mount;
  return { ...mount, source: pathInside(mount.source, subPath) };
}

/**
 * Only root can become somebody else; and a user who cannot even reach the files (a data directory below /root, say)
 * could not run them, so such a pod runs as root, as this driver does without an image user.
 */
function userOf(spec: ContainerSpec, command: HostCommand): { uid: number; gid: number } | undefined {
  if (process.geteuid?.() !== 0 || !spec.user) return undefined;
  const reachable = isOpenToOthers(spec.rootfs) && isOpenToOthers(dirname(command.file));
  return reachable ? { uid: spec.user.uid, gid: spec.user.gid } : undefined;
}

/** A container whose command could not even be found. */
function notStarted(id: string, error: unknown): ContainerHandle {
  const reason = error instanceof StartError ? error : new StartError(messageOf(error), { cause: error });
  return {
    id,
    started: Promise.reject(reason),
    exited: new Promise(() => undefined),
    state: { command: { file: '', args: [], env: {}, cwd: '/' }, rootfs: '', mounts: [] },
    pid: undefined,
    terminal: () => undefined,
    signal: () => undefined,
    exec: () => Promise.reject(reason),
    open: () => Promise.reject(reason),
    stats: () => Promise.resolve(undefined),
    remove: () => Promise.resolve(),
  };
}

/** True when every folder on the way to and including `directory` may be passed by any user. */
function isOpenToOthers(directory: string): boolean {
  const mode = statSync(directory, { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & 0o001) === 0) return false;
  const parent = dirname(directory);
  return parent === directory || isOpenToOthers(parent);
}
