/** The node agent: what a kubelet, a scheduler of one node and a container runtime's manager do, for this machine. */
import { mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { configMaps, secrets } from '../api/kubernetes/core.ts';
import type { MetricsSource } from '../api/kubernetes/metrics.ts';
import { nodes, type Node } from '../api/kubernetes/nodes.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { runtimeClasses } from '../api/kubernetes/runtime-classes.ts';
import { keyOf } from '../api/object.ts';
import { isPodTerminal, type Pod } from '../api/pods.ts';
import type { Client } from '../kube/client/client.ts';
import type { Informers } from '../kube/client/informer.ts';
import { Recorder } from '../kube/controller/recorder.ts';
import type { LogSource } from '../kube/server/logs.ts';
import type { PodStreamSource } from '../kube/server/pod-streams/source.ts';
import { StartQueue } from './admission.ts';
import { endSaved } from './adoption.ts';
import { dataReader } from './data-reader.ts';
import { chooseDriver, memoryTagOf, tagOf, type DriverChoice } from './drivers/choose.ts';
import type { Driver, PodNetworkPlace } from './drivers/driver.ts';
import type { ImageProvider } from './images.ts';
import { PodLogs } from './log-source.ts';
import { LogStore } from './logs/log-store.ts';
import { MemoryDir } from './memory-dir.ts';
import { MetricsSampler } from './metrics.ts';
import { readHeadroom } from './node-conditions.ts';
import { NodeKeeper } from './node-keeper.ts';
import { readMachine } from './node-object.ts';
import type { ClusterDns } from './pod-dns.ts';
import { PodTokens } from './pod-tokens.ts';
import { PodWorker } from './pod-worker.ts';
import { loadPods, type SavedPod } from './saved-pod.ts';
import { whyNoHandler } from './runtime-handlers.ts';
import { whyMisplaced, whyUnschedulable } from './scheduling.ts';
import { PodStreams } from './streams/pod-streams.ts';
import type { TokenSource } from './volume-files.ts';
import { claimSource, VolumeClaims } from './volume-claims.ts';
import type { WorkerEnv } from './worker-env.ts';

export interface NodeAgentOptions {
  readonly client: Client;
  readonly informers: Informers;
  readonly clock: Clock;
  readonly log: Logger;
  /** The agent keeps everything below `<dataDir>/node`; volumes that were made for claims are in `<dataDir>/volumes`. */
  readonly dataDir: string;
  readonly nodeName: string;
  readonly driver: DriverChoice;
  readonly images: ImageProvider;
  /** Called before a deleted pod's containers are told to stop: drains the gateway. The grace period bounds it. */
  readonly beforeStop?: (pod: Pod) => Promise<void>;
  /**
   * Told a pod's new status as soon as it is known, a durable write earlier than the API: a request that waits for a pod
   * need not wait for the store.
   */
  readonly announce?: (pod: Pod) => void;
  /** The environment of Knapsack: only PATH is used, to find programs. */
  readonly hostEnv?: Readonly<Record<string, string | undefined>>;
  /** Variables for every container that does not turn service links off: `KUBERNETES_SERVICE_HOST`… */
  readonly serviceEnv?: WorkerEnv['serviceEnv'];
  /**
   * Called when the driver is chosen, before any pod starts: makes names of the cluster known on the network of pods.
   * Default, or when it resolves with undefined: pods look up names as this machine does.
   */
  readonly openNetwork?: (place: NetworkPlace) => Promise<ClusterDns | undefined>;
  /** Tokens for projected service account volumes. Without it such files are left out. */
  readonly token?: TokenSource;
  /**
   * Text of a kubeconfig for the token and certificate in a directory. The process driver, which cannot mount, puts it
   * beside them.
   */
  readonly kubeconfig?: (dir: string) => Promise<string>;
}

/** Where pods are, seen from this machine. */
export interface NetworkPlace {
  /** Names this data directory on the machine: eight hexadecimal digits. */
  readonly tag: string;
  /** Where pods reach this machine. */
  readonly hostAddress: string;
  /** Undefined where pods use the network of this machine. */
  readonly pods: PodNetworkPlace | undefined;
}

export interface NodeAgent {
  readonly driver: { readonly name: string; readonly reason: string };
  readonly logs: LogSource;
  /** Commands in containers, and ports of pods. */
  readonly streams: PodStreamSource;
  /** What pods and the machine use now. */
  readonly metrics: MetricsSource;
  /** Where processes of this machine can be reached from pods: the bridge, or loopback. */
  readonly hostAddress: string;
  /**
   * `removePods`: nothing of any pod is left (their objects stay); containers get at most `graceMs` (default 5000) to
   * end. Otherwise pods run on and are adopted later.
   */
  close(options: { removePods: boolean; graceMs?: number }): Promise<void>;
}

/** The shortest token lives ten minutes, of which two are left when it is replaced. */
const tokenCheckMs = 30_000;

/** Resolves when the Node is registered and what an earlier agent left is adopted or removed. Throws NODE_NO_DRIVER. */
export async function startNodeAgent(options: NodeAgentOptions): Promise<NodeAgent> {
  const { dataDir, log, hostEnv = process.env } = options;
  const nodeDir = join(dataDir, 'node');
  // Passable, so that containers under other users reach their files; what is secret is closed further down.
  mkdirSync(join(nodeDir, 'pods'), { recursive: true, mode: 0o711 });
  const driver = await chooseDriver(options.driver, { dataDir: nodeDir, hostEnv, log });
  log.info({ driver: driver.name, reason: driver.reason }, 'pod driver chosen');
  let agent: Agent | undefined;
  try {
    const { hostAddress, podNetwork } = driver;
    const clusterDns = await options.openNetwork?.({ tag: tagOf(nodeDir), hostAddress, pods: podNetwork });
    agent = new Agent(options, nodeDir, driver, clusterDns);
    await agent.start();
    return agent;
  } catch (error) {
    // Nobody closes what did not start; what the driver holds would keep the process alive.
    await (agent?.close({ removePods: true }) ?? driver.close(true));
    throw error;
  }
}

class Agent implements NodeAgent {
  readonly driver: Driver;
  readonly logs: PodLogs;
  readonly streams: PodStreams;
  readonly metrics: MetricsSampler;
  readonly hostAddress: string;
  readonly #options: NodeAgentOptions;
  readonly #log: Logger;
  readonly #podsDir: string;
  readonly #keeper: NodeKeeper;
  readonly #recorder: Recorder;
  /** What a scheduler of one node says: as a part of its own, as clients expect. */
  readonly #scheduler: Recorder;
  readonly #logStore: LogStore;
  readonly #claims: VolumeClaims;
  readonly #env: WorkerEnv;
  readonly #tokens: PodTokens | undefined;
  /** By pod uid. */
  readonly #workers = new Map<string, PodWorker>();
  readonly #unsubscribe: (() => void)[] = [];
  #node: Node | undefined;
  #closing = false;

  constructor(
    options: NodeAgentOptions,
    nodeDir: string,
    driver: Driver,
    clusterDns: ClusterDns | undefined,
  ) {
    const { client, clock, nodeName } = options;
    const log = options.log.child({ component: 'node' });
    const machine = readMachine(nodeName, nodeDir);
    this.#options = options;
    this.#log = log;
    this.driver = driver;
    this.hostAddress = driver.hostAddress;
    this.#podsDir = join(nodeDir, 'pods');
    this.#keeper = new NodeKeeper(
      { client, clock, log, headroom: () => readHeadroom(nodeDir) },
      machine,
      driver.runtimeVersion,
    );
    this.#recorder = new Recorder({ client, clock, log, host: nodeName, component: 'kubelet' });
    this.#scheduler = new Recorder({ client, clock, log, component: 'default-scheduler' });
    this.#logStore = new LogStore(clock);
    this.#claims = new VolumeClaims(options.informers);
    this.logs = new PodLogs(this.#logStore, clock, (namespace, name) => this.#find(namespace, name));
    this.metrics = new MetricsSampler({
      clock,
      nodeName,
      memoryBytes: machine.memoryBytes,
      running: () => [...this.#workers.values()].map((worker) => worker.measured()),
      nodeLabels: () => this.#node?.metadata.labels,
    });
    this.streams = new PodStreams(
      (namespace, name) => this.#find(namespace, name),
      this.#logStore,
      (options.hostEnv ?? process.env)['PATH'] ?? '',
    );
    this.#tokens = options.token && new PodTokens(options.token, clock);
    this.#env = {
      client,
      clock,
      log,
      driver,
      images: options.images,
      recorder: this.#recorder,
      scheduler: this.#scheduler,
      logs: this.#logStore,
      starts: new StartQueue(clock, 2 * availableParallelism()),
      readData: dataReader(client, options.informers, clock),
      token: this.#tokens?.get,
      kubeconfig: driver.name === 'process' ? options.kubeconfig : undefined,
      claims: claimSource(client, join(options.dataDir, 'volumes')),
      beforeStop: options.beforeStop,
      announce: options.announce,
      podsDir: this.#podsDir,
      memory: new MemoryDir(memoryTagOf(nodeDir)),
      hostIP: machine.ip,
      nodeName,
      facts: (podIP) => ({
        nodeName,
        hostIP: machine.ip,
        podIP,
        allocatableCpu: machine.cpus,
        allocatableMemory: machine.memoryBytes,
        allocatableStorage: machine.storageBytes,
      }),
      serviceEnv: options.serviceEnv ?? (() => new Map<string, string>()),
      clusterDns,
      whyNoHandler: (pod) => whyNoHandler(pod, options.informers, driver),
      freed: () => this.#admitWaiting(),
    };
  }

  async start(): Promise<void> {
    const { informers, nodeName } = this.#options;
    this.#node = await this.#keeper.register();
    const podInformer = informers.for(pods);
    await Promise.all([podInformer.synced(), this.#claims.synced(), informers.for(runtimeClasses).synced()]);
    await this.#recover(podInformer.list());
    this.#unsubscribe.push(
      informers.for(nodes).onChange(({ type, object }) => {
        if (object.metadata.name !== nodeName || type === 'deleted') return;
        this.#node = object;
        this.#keeper.follow(object);
        this.#admitWaiting();
      }),
      this.#claims.onChange(() => this.#admitWaiting()),
      podInformer.onChange(({ type, object }) => this.#onPod(type, object)),
      informers.for(configMaps).onChange(({ type, object }) => this.#onData(type, object.metadata.namespace)),
      informers.for(secrets).onChange(({ type, object }) => this.#onData(type, object.metadata.namespace)),
    );
    if (this.#tokens) this.#watchTokens(this.#tokens);
  }

  /** Looks for tokens that near their end, and writes new ones. */
  #watchTokens(tokens: PodTokens): void {
    const look = (): void => {
      for (const uid of tokens.stale(new Set(this.#workers.keys()))) this.#workers.get(uid)?.refreshVolumes();
      cancel = this.#options.clock.after(tokenCheckMs, look);
    };
    let cancel = this.#options.clock.after(tokenCheckMs, look);
    this.#unsubscribe.push(() => cancel());
  }

  #find(namespace: string, name: string): PodWorker | undefined {
    for (const worker of this.#workers.values()) {
      const { metadata } = worker.pod();
      if (metadata.name === name && metadata.namespace === namespace) return worker;
    }
    return undefined;
  }

  #isOurs(pod: Pod): boolean {
    const { nodeName, schedulerName = 'default-scheduler', schedulingGates = [] } = pod.spec ?? {};
    if (nodeName) return nodeName === this.#options.nodeName;
    return schedulerName === 'default-scheduler' && schedulingGates.length === 0;
  }

  #onPod(type: 'added' | 'modified' | 'deleted', pod: Pod): void {
    if (this.#closing) return;
    const uid = pod.metadata.uid ?? '';
    const worker = this.#workers.get(uid);
    if (type === 'deleted') {
      worker?.remove();
      return;
    }
    if (worker) {
      worker.update(pod);
      // It may have been bound by somebody else, or tolerate more than before.
      this.#schedule(worker);
    } else if (this.#isOurs(pod)) this.#take(pod);
    // A pod that was replaced under the same name between two events.
    for (const other of this.#workers.values()) {
      const old = other.pod();
      if (old.metadata.uid !== uid && keyOf(old) === keyOf(pod)) other.remove();
    }
  }

  #take(pod: Pod): PodWorker {
    const worker = new PodWorker(this.#env, pod);
    const uid = pod.metadata.uid ?? '';
    this.#workers.set(uid, worker);
    void worker.done.then(() => this.#forget(uid));
    if (pod.metadata.deletionTimestamp) worker.changed();
    else this.#schedule(worker);
    return worker;
  }

  /** Nothing of the pod is left: what it held is free for those that wait. */
  #forget(uid: string): void {
    this.#workers.delete(uid);
    this.#admitWaiting();
  }

  #schedule(worker: PodWorker): void {
    const pod = worker.pod();
    if (worker.isAdmitted || pod.metadata.deletionTimestamp) return;
    const others = [...this.#workers.values()].filter((w) => w !== worker && w.holdsResources);
    const running = others.map((w) => w.pod());
    if (this.#node && !isPodTerminal(pod)) {
      if (!pod.spec?.nodeName) {
        const why = whyUnschedulable(pod, this.#node, running);
        if (why !== undefined) return worker.refuse(why);
      } else if (!pod.status?.startTime) {
        // One that has been running here fitted when it came.
        const rejection = whyMisplaced(pod, this.#node, running);
        if (rejection) return worker.reject(rejection);
      }
    }
    const claims = this.#claims.stateFor(pod, () => running);
    if (!claims.waits || isPodTerminal(pod)) worker.admit();
    else if (claims.why !== undefined) worker.refuse(claims.why);
  }

  #admitWaiting(): void {
    if (this.#closing) return;
    for (const worker of this.#workers.values()) this.#schedule(worker);
  }

  #onData(type: string, namespace: string | undefined): void {
    if (type === 'deleted') return;
    for (const worker of this.#workers.values()) {
      if (worker.pod().metadata.namespace === namespace) worker.refreshVolumes();
    }
  }

  /**
   * Adopts pods that an earlier agent left running and that still exist; removes the others. Pods that another driver
   * started begin anew.
   */
  async #recover(existing: readonly Pod[]): Promise<void> {
    const byUid = new Map(existing.map((pod) => [pod.metadata.uid ?? '', pod]));
    const live = new Set<string>();
    // Side by side: what is gone without a word of its end is waited for, for seconds.
    await Promise.all(
      [...loadPods(this.#podsDir)].map(async ([uid, saved]) => {
        const pod = byUid.get(uid);
        if (pod && saved?.driver === this.driver.name) {
          live.add(uid);
          return this.#adopt(uid, pod, saved);
        }
        if (saved) await endSaved(saved, this.driver);
        rmSync(join(this.#podsDir, uid), { recursive: true, force: true });
        this.#log.info({ uid }, 'removed what was left of a pod');
      }),
    );
    await this.driver.sweep(live);
    this.#env.memory.sweep(live);
  }

  async #adopt(uid: string, pod: Pod, saved: SavedPod): Promise<void> {
    const worker = new PodWorker(this.#env, pod);
    this.#workers.set(uid, worker);
    void worker.done.then(() => this.#forget(uid));
    await worker.adopt(saved);
    worker.admit();
  }

  async close({ removePods, graceMs = 5000 }: { removePods: boolean; graceMs?: number }): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.metrics.close();
    const workers = [...this.#workers.values()];
    await Promise.all(workers.map((worker) => (removePods ? worker.evict(graceMs) : worker.detach())));
    await Promise.all([this.#recorder.close(), this.#scheduler.close()]);
    await this.#keeper.close();
    this.#logStore.close();
    if (removePods) {
      await this.driver.sweep(new Set());
      this.#env.memory.sweep(new Set());
      rmSync(this.#podsDir, { recursive: true, force: true });
    }
    await this.driver.close(removePods).catch((error: unknown) => {
      this.#log.warn({ error: messageOf(error) }, 'driver not fully closed');
    });
  }
}
