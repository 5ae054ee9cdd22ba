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
import { roleAggregationController } from './role-aggregation.ts';
import { tokenSecretController, type TokenSecretOptions } from './token-secrets.ts';

export interface ClusterOptions extends NamespaceOptions {
  /** Signs tokens for Secrets; without it they are not filled. */
  readonly issueToken?: TokenSecretOptions['issue'];
}

/** All controllers that have a root kind; garbage collection, which has none, is {@link GarbageCollector}. */
function clusterControllers(
  env: ControllerEnv,
  options: ClusterOptions,
  recorders: { readonly deployment: EventRecorder; readonly replicaSet: EventRecorder },
): Controller[] {
  const { issueToken, rootCertificate } = options;
  return [
    deploymentController(env, recorders.deployment),
    replicaSetController(env, recorders.replicaSet),
    endpointsController(env),
    namespaceController(env, options),
    podCollectionController(env),
    eventExpiryController(env),
    roleAggregationController(env),
    ...(issueToken && rootCertificate !== undefined
      ? [tokenSecretController(env, { issue: issueToken, rootCertificate })]
      : []),
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
