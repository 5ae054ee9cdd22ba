/** What Kubernetes does around pods: run beside the embedded API. On a real cluster the cluster does it. */
import type { MetricsSource } from '../api/kubernetes/metrics.ts';
import type { ResourceDef } from '../api/resource.ts';
import type { Controller, ControllerEnv } from '../kube/controller/controller.ts';
import { startControllers, type ControllerStats } from '../kube/controller/kernel.ts';
import { Recorder, type EventRecorder } from '../kube/controller/recorder.ts';
import { ResourceRegistry } from '../kube/resource-registry.ts';
import { accessControllers, type AccessOptions } from './access.ts';
import { admissionPolicyStatusController } from './admission-policy-status.ts';
import { disruptionController } from './disruption/index.ts';
import { eventExpiryController } from './event-expiry.ts';
import { ensureFlowControlDefaults, flowControlControllers } from './flow-control-defaults.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { horizontalController } from './horizontal/index.ts';
import { ensureKubernetesService } from './kubernetes-service.ts';
import { namespaceController, type NamespaceOptions } from './namespace.ts';
import { networkControllers, type NetworkOptions } from './network.ts';
import { podCollectionController } from './pod-collection.ts';
import { quotaController } from './quota.ts';
import { cordonController } from './taints/cordon.ts';
import { taintEvictionController } from './taints/eviction.ts';
import { volumeControllers, type VolumeOptions } from './volumes/index.ts';
import { workloadControllers } from './workloads.ts';

export interface ClusterOptions
  extends Omit<NamespaceOptions, 'registry'>, AccessOptions, NetworkOptions, VolumeOptions {
  /** What is served: a list that stays, or the registry of a server with custom resources. */
  readonly resources: readonly ResourceDef[] | ResourceRegistry;
  /** What pods use, for HorizontalPodAutoscalers. Default: nothing is known. */
  readonly metrics?: MetricsSource;
}

const noMetrics: MetricsSource = { pods: () => Promise.resolve([]), nodes: () => Promise.resolve([]) };

/** All controllers that have a root kind; garbage collection, which has none, is {@link GarbageCollector}. */
function clusterControllers(
  env: ControllerEnv,
  options: ClusterOptions,
  registry: ResourceRegistry,
  recorder: (component: string) => EventRecorder,
): Controller[] {
  return [
    ...workloadControllers(env, recorder),
    horizontalController(env, recorder('horizontal-pod-autoscaler'), {
      served: registry,
      metrics: options.metrics ?? noMetrics,
    }),
    ...networkControllers(env, recorder, options),
    ...volumeControllers(env, recorder, options),
    namespaceController(env, { ...options, registry }),
    podCollectionController(env),
    disruptionController(env, recorder('controllermanager'), registry),
    cordonController(env),
    taintEvictionController(env, recorder('taint-eviction-controller')),
    quotaController(env, registry),
    eventExpiryController(env),
    admissionPolicyStatusController(env, registry),
    ...flowControlControllers(env),
    ...accessControllers(env, options),
  ];
}

export interface Cluster {
  stats(): ControllerStats[];
  /** Ends everything; resolves when no reconcile is under way and the events that wait are written. */
  stop(): Promise<void>;
}

/** Starts all cluster controllers and garbage collection; resolves once they work. */
export async function startCluster(env: ControllerEnv, options: ClusterOptions): Promise<Cluster> {
  const { client, clock, log } = env;
  const recorders: Recorder[] = [];
  const recorder = (component: string): Recorder => {
    const made = new Recorder({ client, clock, log, component });
    recorders.push(made);
    return made;
  };
  const { resources } = options;
  const registry = resources instanceof ResourceRegistry ? resources : new ResourceRegistry(resources);
  const collector = new GarbageCollector(env, registry);
  const [kernel] = await Promise.all([
    startControllers(clusterControllers(env, options, registry, recorder), env),
    collector.start(),
    ensureFlowControlDefaults(env),
    options.apiAddress && ensureKubernetesService(env, options.apiAddress),
  ]);
  return {
    stats: () => kernel.stats(),
    async stop() {
      await Promise.all([kernel.stop(), collector.stop()]);
      await Promise.all(recorders.map((made) => made.close()));
    },
  };
}
