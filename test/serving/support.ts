/** Serving on the real embedded API with the real cluster controllers, a pretended node and a pretended gateway. */
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { nodes } from '../../src/api/kubernetes/nodes.ts';
import { pods as podResource } from '../../src/api/kubernetes/pods.ts';
import { timestamp, type KubeObject } from '../../src/api/object.ts';
import type { Pod } from '../../src/api/pods.ts';
import { resources } from '../../src/api/registry.ts';
import type { ResourceDef } from '../../src/api/resource.ts';
import type { Backend, BackendStats, HostRule, RequestPath, RoutingUpdate } from '../../src/api/routing.ts';
import { startCluster } from '../../src/cluster/index.ts';
import { hasReason } from '../../src/kube/api-error.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import type { Client } from '../../src/kube/client/client.ts';
import { startControllers } from '../../src/kube/controller/kernel.ts';
import { servingControllers, type ImageResolver } from '../../src/serving/index.ts';
import { startTestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';

/** A gateway that remembers what it was told and does what the test says. */
export class FakeRequestPath implements RequestPath {
  readonly updates: RoutingUpdate[] = [];
  readonly hosts = new Map<string, HostRule>();
  readonly backends = new Map<string, Backend>();
  /** What happened, in order: for questions of before and after. */
  readonly journal: string[] = [];
  #stats: ((stats: readonly BackendStats[]) => void)[] = [];
  #wake: ((backend: string) => void)[] = [];

  apply(update: RoutingUpdate): Promise<void> {
    this.updates.push(update);
    for (const [host, rule] of Object.entries(update.hosts ?? {})) {
      if (rule) this.hosts.set(host, rule);
      else this.hosts.delete(host);
    }
    for (const [key, backend] of Object.entries(update.backends ?? {})) {
      if (backend) this.backends.set(key, backend);
      else this.backends.delete(key);
      this.journal.push(`${key} ${backend?.endpoints.length ?? 'gone'}`);
    }
    return Promise.resolve();
  }

  untilIdle(endpointId: string, _timeoutMs?: number): Promise<void> {
    this.journal.push(`idle ${endpointId}`);
    return Promise.resolve();
  }

  onStats(listener: (stats: readonly BackendStats[]) => void): void {
    this.#stats.push(listener);
  }

  onWake(listener: (backend: string) => void): void {
    this.#wake.push(listener);
  }

  wake(backend: string): void {
    for (const listener of this.#wake) listener(backend);
  }

  /** One second of steady load. */
  report(key: string, averageConcurrency: number, queued = 0): void {
    const stats = {
      key,
      intervalMs: 1000,
      averageConcurrency,
      queued,
      inFlight: averageConcurrency - queued,
      arrived: 1,
    };
    for (const listener of this.#stats) listener([stats]);
  }

  endpoints(key: string): number {
    return this.backends.get(key)?.endpoints.length ?? -1;
  }

  /** `backend percent` of the first path of a host. */
  splits(host: string): string[] {
    return (
      this.hosts.get(host)?.paths[0]?.splits.map(({ backend, percent }) => `${backend} ${percent}`) ?? []
    );
  }
}

/** What becomes of a pod. */
export type Fate = 'ready' | 'unready' | { readonly exitCode: number; readonly message: string };

export interface ServingPlatform {
  readonly client: Client;
  readonly path: FakeRequestPath;
  /** Decides the fate of pods from now on, by image. */
  readonly fates: Map<string, Fate>;
  /** Images that the resolver does not find, with the reason. */
  readonly missing: Map<string, string>;
  get<T extends KubeObject>(def: ResourceDef<T>, name: string): Promise<T>;
  list<T extends KubeObject>(def: ResourceDef<T>): Promise<readonly T[]>;
  /** Polls an object until the check holds, and returns it. */
  until<T extends KubeObject>(
    def: ResourceDef<T>,
    name: string,
    what: string,
    check: (object: T) => boolean,
  ): Promise<T>;
  close(): Promise<void>;
}

/** A clock that runs `speed` times as fast, so that windows of seconds pass in a test. */
function fastClock(speed: number): Clock {
  const start = Date.now();
  return {
    now: () => start + (Date.now() - start) * speed,
    after: (ms, fn) => systemClock.after(ms / speed, fn),
  };
}

export async function startServing(
  options: { speed?: number; gatewayIp?: string } = {},
): Promise<ServingPlatform> {
  const clock = fastClock(options.speed ?? 1);
  const api = await startTestApi({ clock });
  const { client } = api;
  const log = silentLogger;
  const informers = new SharedInformers({ client, clock, log });
  const env = { client, informers, clock, log };
  const path = new FakeRequestPath();
  const fates = new Map<string, Fate>();
  const missing = new Map<string, string>();
  const images: ImageResolver = {
    resolve(reference) {
      const reason = missing.get(reference);
      if (reason !== undefined) return Promise.reject(new Error(reason));
      return Promise.resolve(`${reference.replace(/:[^/]*$/, '')}@sha256:${'a'.repeat(64)}`);
    },
  };
  const gateway = options.gatewayIp
    ? { ip: options.gatewayIp }
    : { domainInternal: 'gateway.knapsack-system.svc.cluster.local' };
  const serving = servingControllers(env, {
    requestPath: path,
    images,
    gateway: { public: gateway, private: gateway },
  });
  const cluster = await startCluster(env, { resources });
  const stopNode = await startNode(client, informers, fates);
  await serving.start();
  const kernel = await startControllers(serving.controllers, env);
  return {
    client,
    path,
    fates,
    missing,
    get: (def, name) => client.get(def, { namespace: 'default', name }),
    list: async (def) => (await client.list(def, { namespace: 'default' })).items,
    until: (def, name, what, check) =>
      waitFor(`${def.kind} ${name}: ${what}`, async () => {
        const object = await client.get(def, { namespace: 'default', name });
        return check(object) ? object : undefined;
      }),
    async close() {
      await kernel.stop();
      serving.close();
      await stopNode();
      await cluster.stop();
      informers.close();
      await api.close();
    },
  };
}

/** Pods get their fate at once and end when deleted. */
async function startNode(
  client: Client,
  informers: SharedInformers,
  fates: Map<string, Fate>,
): Promise<() => Promise<void>> {
  await client.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } });
  const work = new Set<Promise<void>>();
  let count = 0;
  const run = (task: Promise<unknown>): void => {
    const guarded = task
      .then(() => undefined)
      .catch((error: unknown) => {
        if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
      })
      .finally(() => work.delete(guarded));
    work.add(guarded);
  };
  const start = async (pod: Pod): Promise<void> => {
    const { name, namespace = '' } = pod.metadata;
    const image = pod.spec?.containers[0]?.image?.split('@')[0] ?? '';
    const fate = fates.get(image) ?? 'ready';
    const podIP = `10.1.0.${++count}`;
    const now = timestamp(Date.now());
    const terminated =
      typeof fate === 'object'
        ? { exitCode: fate.exitCode, message: fate.message, reason: 'Error' }
        : undefined;
    const container = pod.spec?.containers[0]?.name ?? '';
    const status = {
      phase: 'Running',
      podIP,
      conditions: [{ type: 'Ready', status: fate === 'ready' ? 'True' : 'False', lastTransitionTime: now }],
      containerStatuses: [
        {
          name: container,
          image,
          imageID: '',
          ready: fate === 'ready',
          restartCount: terminated ? 1 : 0,
          state: terminated ? { waiting: { reason: 'CrashLoopBackOff' } } : { running: { startedAt: now } },
          ...(terminated ? { lastState: { terminated } } : {}),
        },
      ],
    };
    await client.patch(
      podResource,
      { namespace, name },
      { type: 'merge', body: { status } },
      { subresource: 'status' },
    );
  };
  const end = ({ metadata: { namespace = '', name } }: Pod): Promise<void> =>
    client.delete(podResource, { namespace, name }, { gracePeriodSeconds: 0 });
  const unsubscribe = informers.for(podResource).onChange(({ type, object }) => {
    if (type === 'deleted') return;
    if (object.metadata.deletionTimestamp) run(end(object));
    else if (type === 'added') run(start(object));
  });
  return async () => {
    unsubscribe();
    while (work.size > 0) await Promise.all(work);
  };
}

/** A service as a user writes it. `env` makes templates differ. */
export function makeKsvc(
  name: string,
  options: {
    image?: string;
    target?: string;
    annotations?: Record<string, string>;
    revision?: string;
    traffic?: object[];
    concurrency?: number;
  } = {},
) {
  const {
    image = 'example.com/hello',
    target = 'World',
    annotations,
    revision,
    traffic,
    concurrency,
  } = options;
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      template: {
        metadata: { ...(annotations ? { annotations } : {}), ...(revision ? { name: revision } : {}) },
        spec: {
          ...(concurrency === undefined ? {} : { containerConcurrency: concurrency }),
          containers: [{ image, env: [{ name: 'TARGET', value: target }] }],
        },
      },
      ...(traffic ? { traffic } : {}),
    },
  };
}

export function ready({
  status,
}: { status?: { conditions?: { type: string; status: string }[] } } & KubeObject): boolean {
  return status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}
