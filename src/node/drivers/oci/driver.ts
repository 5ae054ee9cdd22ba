/**
 * The oci driver: standard OCI bundles run by crun or runc. Each container has its own processes, mounts, IPC, host name,
 * control group and layer over the image; the containers of a pod share a network of their own.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync, chmodSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../../base/errors.ts';
import type { Json } from '../../../base/json.ts';
import type { Logger } from '../../../base/log.ts';
import { hostPorts, namespacePorts, type PortConnector } from '../../streams/ports.ts';
import type { Cgroups } from '../cgroups.ts';
import {
  StartError,
  type ContainerHandle,
  type ContainerMount,
  type ContainerSpec,
  type Driver,
  type PodNetworkPlace,
  type Sandbox,
  type SandboxSpec,
} from '../driver.ts';
import { makeBundle } from './bundle.ts';
import { OciContainer } from './container.ts';
import { namespaceSetup } from './detect.ts';
import type { FirewallPrograms } from './firewall.ts';
import { hostHostsFile, podHostsFile } from './hosts-file.ts';
import { PodNetwork } from './network.ts';
import { Outbound } from './outbound.ts';
import { HostResolver } from './resolv-conf.ts';
import { SubPaths } from './sub-paths.ts';
import { RunDir } from '../run-dir.ts';
import { OciRuntime, type RuntimeProgram } from './runtime.ts';
import { Shell } from '../shell.ts';

interface SavedSandbox {
  readonly ip: string;
  /** Name of the network namespace; undefined on the host's network. */
  readonly netns?: string;
}

export interface OciDriverOptions {
  readonly program: RuntimeProgram;
  readonly cgroups: Cgroups;
  readonly tag: string;
  /** The driver keeps everything below it. */
  readonly dir: string;
  readonly reason: string;
  readonly firewall: FirewallPrograms;
  readonly log: Logger;
}

export class OciDriver implements Driver {
  readonly name = 'oci';
  readonly runtimeVersion: string;
  readonly #cgroups: Cgroups;
  readonly #network: PodNetwork;
  readonly #outbound: Outbound;
  readonly #resolver: HostResolver;
  readonly #runtime: OciRuntime;
  readonly #runDir: RunDir;
  readonly #hostShell: Shell;
  readonly #mountShell: Shell;
  readonly #dir: string;
  #reason: string;

  constructor(options: OciDriverOptions) {
    const { dir, tag, program, log } = options;
    this.#dir = dir;
    this.#reason = options.reason;
    this.runtimeVersion = `${program.name}://${program.version}`;
    this.#cgroups = options.cgroups;
    this.#runDir = new RunDir(join(dir, 'run'));
    const tmp = this.#runDir.path;
    this.#hostShell = new Shell({ dir: tmp, privateMounts: false });
    this.#mountShell = new Shell({ dir: tmp, privateMounts: true, setup: namespaceSetup() });
    this.#network = new PodNetwork(this.#hostShell, tag);
    this.#outbound = new Outbound({
      shell: this.#hostShell,
      place: { tag, bridge: this.#network.bridge },
      programs: options.firewall,
      log,
    });
    this.#resolver = new HostResolver(log);
    this.#runtime = new OciRuntime(program, this.#mountShell, join(dir, 'state'), tmp);
    for (const name of ['', 'cgroup-view', ...readControllers()]) {
      mkdirSync(join(dir, name === '' || name === 'cgroup-view' ? name : `cgroup-view/${name}`), {
        recursive: true,
      });
    }
  }

  get reason(): string {
    return this.#reason;
  }

  /** Known once the driver is open. */
  get hostAddress(): string {
    return this.#network.gateway;
  }

  /** Known once the driver is open. */
  get podNetwork(): PodNetworkPlace {
    return { bridge: this.#network.bridge, subnet: this.#network.subnet };
  }

  /**
   * Makes the bridge and its way out and starts the shells, so that the first pod does not wait for them. Throws
   * NODE_NETWORK_FAILED. Not needed to sweep and close.
   */
  async open(): Promise<void> {
    this.#resolver.check();
    // In this order: where there is no bridge, nothing else is to be undone.
    await this.#network.ensureBridge();
    const [problem] = await Promise.all([
      this.#outbound.open(this.#network.subnet),
      this.#mountShell.run(':'),
    ]);
    if (problem !== undefined) this.#reason += `; ${problem}`;
  }

  async createSandbox(spec: SandboxSpec): Promise<Sandbox> {
    // Layers of containers that were there before the machine was started anew.
    rmSync(join(spec.dir, 'containers'), { recursive: true, force: true });
    const ip = spec.hostNetwork ? spec.hostIP : await this.#network.attach(spec.pod.uid);
    writeFileSync(join(spec.dir, 'hosts'), spec.hostNetwork ? hostHostsFile(spec) : podHostsFile(spec, ip));
    writeFileSync(join(spec.dir, 'resolv.conf'), this.#resolver.fileFor(spec.dns, spec.hostNetwork));
    writeFileSync(join(spec.dir, 'hostname'), `${spec.hostname}\n`);
    return this.#sandboxOf(spec, ip);
  }

  #sandboxOf(spec: SandboxSpec, ip: string): Sandbox {
    const netns = spec.hostNetwork ? undefined : this.#network.netnsName(spec.pod.uid);
    const state: SavedSandbox = { ip, ...(netns === undefined ? {} : { netns }) };
    return { spec, ip, portMap: undefined, state: state as unknown as Json };
  }

  adoptSandbox(spec: SandboxSpec, state: Json): Promise<Sandbox | undefined> {
    const { ip, netns = '' } = state as unknown as SavedSandbox;
    const isThere = spec.hostNetwork || this.#network.adopt(spec.pod.uid, netns, ip);
    return Promise.resolve(isThere ? this.#sandboxOf(spec, ip) : undefined);
  }

  async removeSandbox(sandbox: Sandbox): Promise<void> {
    if (!sandbox.spec.hostNetwork) await this.#network.detach(sandbox.spec.pod.uid, sandbox.ip);
  }

  ports({ spec }: Sandbox): PortConnector {
    if (spec.hostNetwork) return hostPorts((port) => port);
    return namespacePorts(['ip', 'netns', 'exec', this.#network.netnsName(spec.pod.uid)]);
  }

  start(sandbox: Sandbox, spec: ContainerSpec): ContainerHandle {
    const dir = join(sandbox.spec.dir, 'containers', spec.id);
    const group = this.#cgroups.group(spec.id);
    const handle = new OciContainer({
      id: spec.id,
      dir,
      runtime: this.#runtime,
      runDir: this.#runDir,
      group,
    });
    let subPaths: SubPaths | undefined;
    try {
      subPaths = new SubPaths(spec.mounts, dir);
      const paths = { upper: join(dir, 'upper'), work: join(dir, 'work'), rootfs: join(dir, 'rootfs') };
      for (const path of Object.values(paths)) mkdirSync(path, { recursive: true });
      if (!existsSync(join(spec.rootfs, 'tmp'))) {
        mkdirSync(join(paths.upper, 'tmp'));
        chmodSync(join(paths.upper, 'tmp'), 0o1777);
      }
      group.create(spec.limits);
      const bundle = makeBundle({
        spec: { ...spec, mounts: subPaths.mounts },
        hostname: sandbox.spec.hostname,
        rootfs: paths.rootfs,
        netns: sandbox.spec.hostNetwork ? undefined : this.#network.netnsPath(sandbox.spec.pod.uid),
        cgroupMounts: this.#cgroupMounts(group.views),
        cgroupsPath: this.#runtime.cgroupsPath(group),
        files: podFiles(sandbox.spec.dir, spec),
        arch: process.arch,
      });
      writeFileSync(join(dir, 'config.json'), JSON.stringify(bundle), { mode: 0o600 });
      writeFileSync(spec.logPath, '', { flag: 'a', mode: 0o640 });
      this.#runtime.launch({
        ...paths,
        id: spec.id,
        bundle: dir,
        lower: spec.rootfs,
        subPaths,
        group,
        stdin: spec.stdin,
        tty: spec.tty,
        logPath: spec.logPath,
        pidFile: this.#runDir.file(spec.id, 'pid'),
        exitFile: this.#runDir.file(spec.id, 'exit'),
        runtimeLog: this.#runDir.file(spec.id, 'log'),
      });
      // What was found is held for as long as the shell may compare it with what it mounts.
      const release = (): void => subPaths?.release();
      handle.started.then(release, release);
      return handle;
    } catch (error) {
      subPaths?.release();
      return failedContainer(handle, new StartError(messageOf(error), { cause: error }));
    }
  }

  /** Version 1: a read-only directory with the places of the controllers, and each controller's group in its place. */
  #cgroupMounts(views: readonly { source: string; destination: string }[]): typeof views {
    const isSingle = views.length === 1 && views[0]?.destination === '/sys/fs/cgroup';
    if (isSingle) return views;
    return [{ source: join(this.#dir, 'cgroup-view'), destination: '/sys/fs/cgroup' }, ...views];
  }

  adopt(id: string, state: Json): ContainerHandle {
    const { dir } = state as { dir?: string };
    const parts = {
      id,
      dir: dir ?? '',
      runtime: this.#runtime,
      runDir: this.#runDir,
      group: this.#cgroups.group(id),
    };
    return new OciContainer(parts, state);
  }

  async sweep(livePodUids: ReadonlySet<string>): Promise<void> {
    const isLive = (name: string): boolean => livePodUids.has(name.split('_')[0] ?? '');
    for (const name of this.#cgroups.list()) {
      if (isLive(name)) continue;
      const container = new OciContainer({
        id: name,
        dir: join(this.#dir, 'swept', name),
        runtime: this.#runtime,
        runDir: this.#runDir,
        group: this.#cgroups.group(name),
      });
      await container.remove();
    }
    // Word of containers, and what commands of an agent that was killed have left: their environments among it.
    for (const file of readdirSync(this.#runDir.path)) {
      if (isLive(file) || file.includes(`${process.pid}-`)) continue;
      rmSync(join(this.#runDir.path, file), { recursive: true, force: true });
    }
    this.#runtime.sweep(isLive);
    await this.#network.sweep(livePodUids);
  }

  async close(everything: boolean): Promise<void> {
    await Promise.all([this.#network.close(everything), ...(everything ? [this.#outbound.close()] : [])]);
    this.#runDir.close();
    await Promise.all([this.#hostShell.close(), this.#mountShell.close()]);
    if (!everything) return;
    this.#cgroups.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** A container that could not even be prepared: its handle, with a start that fails. */
function failedContainer(handle: OciContainer, error: StartError): ContainerHandle {
  const started = Promise.reject<void>(error);
  started.catch(() => undefined);
  return {
    id: handle.id,
    started,
    exited: handle.exited,
    state: handle.state,
    pid: undefined,
    terminal: () => undefined,
    signal: () => undefined,
    exec: (command, options) => handle.exec(command, options),
    open: () => Promise.reject(error),
    stats: () => Promise.resolve(undefined),
    remove: () => handle.remove(),
  };
}

function readControllers(): string[] {
  return ['memory', 'cpu', 'pids', 'freezer'];
}

/** What every container of a pod finds in /etc, unless it mounts something of its own there. */
function podFiles(dir: string, spec: ContainerSpec): ContainerMount[] {
  const taken = new Set(spec.mounts.map((mount) => mount.destination));
  return ['hosts', 'resolv.conf', 'hostname']
    .map((name) => ({ source: join(dir, name), destination: `/etc/${name}`, readOnly: false }))
    .filter((mount) => !taken.has(mount.destination));
}
