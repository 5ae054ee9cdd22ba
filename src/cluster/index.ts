/** What Kubernetes does around pods: run beside the embedded API. On a real cluster the cluster does it. */
import type { Controller, ControllerEnv } from '../kube/controller/controller.ts';
import { startControllers, type ControllerStats } from '../kube/controller/kernel.ts';
import { Recorder, type EventRecorder } from '../kube/controller/recorder.ts';
import { deploymentController } from './deployment.ts';
import { endpointsController } from './endpoints.ts';
import { eventExpiryController } from './event-expiry.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { namespaceController, type NamespaceOptions } from './namespace.ts';
import { podCollectionController } from './pod-collection.ts';
import { replicaSetController } from './replica-set.ts';

export type ClusterOptions = NamespaceOptions;

/** All controllers that have a root kind; garbage collection, which has none, is {@link GarbageCollector}. */
function clusterControllers(
  env: ControllerEnv,
  options: ClusterOptions,
  recorders: { readonly deployment: EventRecorder; readonly replicaSet: EventRecorder },
): Controller[] {
  return [
    deploymentController(env, recorders.deployment),
    replicaSetController(env, recorders.replicaSet),
    endpointsController(env),
    namespaceController(env, options),
    podCollectionController(env),
    eventExpiryController(env),
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
  const recorders = {
    deployment: new Recorder({ client, clock, log, component: 'deployment-controller' }),
    replicaSet: new Recorder({ client, clock, log, component: 'replicaset-controller' }),
  };
  const collector = new GarbageCollector(env, options.resources);
  const [kernel] = await Promise.all([
    startControllers(clusterControllers(env, options, recorders), env),
    collector.start(),
  ]);
  return {
    stats: () => kernel.stats(),
    async stop() {
      await Promise.all([kernel.stop(), collector.stop()]);
      await Promise.all([recorders.deployment.close(), recorders.replicaSet.close()]);
    },
  };
}
