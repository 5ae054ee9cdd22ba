/** PodAutoscaler (class KPA) → scale of the Deployment, ServerlessService, Metric. Looks again every tick while active. */
import { metrics, podAutoscalers, type Metric, type PodAutoscaler } from '../../api/autoscaling/index.ts';
import { autoscalingKey, kpaClass, type ScalingSpec } from '../../api/autoscaling/annotations.ts';
import { deployments } from '../../api/kubernetes/workloads.ts';
import { pods as podResource } from '../../api/kubernetes/pods.ts';
import {
  conditionFalse,
  conditionTrue,
  conditionUnknown,
  isTrue,
  nextConditions,
  type ConditionSet,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import { serverlessServices, type ServerlessService } from '../../api/networking/index.ts';
import type { KubeObject } from '../../api/object.ts';
import type { RequestPath } from '../../api/routing.ts';
import { labels } from '../../api/serving/labels.ts';
import { revisions } from '../../api/serving/index.ts';
import { deepEqual } from '../../base/json.ts';
import { watches, type Controller } from '../../kube/controller/controller.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import { createOrGet, isControlledBy, patchChild } from '../apply.ts';
import { tickMs, type Autoscaler, type Observation } from '../autoscaler/autoscaler.ts';
import { activatorCount } from '../autoscaler/decide.ts';
import type { ServingEnv } from '../env.ts';
import { progressDeadlineSeconds } from '../revision/resources/deployment.ts';
import type { RoutePublisher } from '../routing/publisher.ts';
import { privateServiceName } from '../serverless-service/resources/make.ts';
import { planScale, type Plan } from './plan.ts';
import { makeMetric, makeServerlessService } from './resources/make.ts';

/** Of PodAutoscalers of every class. */
export const autoscalerConditions: ConditionSet = {
  happy: 'Ready',
  dependents: ['Active', 'SKSReady', 'ScaleTargetInitialized'],
};

/** How long the first pod may take to appear before everything else is made all the same, ms. */
const firstPodMs = 2_000;

/** How long all but the pods waits for them after a wake-up, ms. */
const wakingMs = 100;

/** How long requests that slipped in may keep the last pods from going, ms. */
const idleMs = 10_000;

/** Pods that a wake-up saved after their removal was asked for come back into the gateway after this at the latest, ms. */
const returnMs = 1_000;

export interface PodAutoscalerDeps {
  readonly autoscaler: Autoscaler;
  readonly publisher: Pick<RoutePublisher, 'exclude' | 'include'>;
  readonly requestPath: Pick<RequestPath, 'untilIdle'>;
}

export function podAutoscalerController(env: ServingEnv, deps: PodAutoscalerDeps): Controller {
  const { client, clock, informers } = env;
  const { autoscaler, publisher } = deps;
  const informer = informers.for(podAutoscalers);
  const serverlessInformer = informers.for(serverlessServices);
  const metricInformer = informers.for(metrics);
  const revisionInformer = informers.for(revisions);
  const podInformer = informers.for(podResource);
  /** Retirements whose pods are kept out of the gateway, each with a token of its own. */
  const retiring = new Map<string, symbol>();
  // Pods that are still there answer at once. Should one be on its way out already, its end waits for the answer.
  autoscaler.onWake((key) => {
    if (retiring.has(key)) publisher.include(key);
  });

  const ofRevision = ({ metadata }: KubeObject): string[] => {
    const name = metadata.labels?.[labels.revision];
    return name ? [`${metadata.namespace}/${name}`] : [];
  };

  return {
    name: 'pod-autoscaler',
    restMs: 10,
    root: podAutoscalers,
    owns: [serverlessServices],
    watches: [watches(deployments, ofRevision), watches(podResource, ofRevision)],
    concurrency: 16,
    async reconcile({ namespace, name }) {
      const key = `${namespace}/${name}`;
      const found = informer.get(key);
      if (!found) {
        autoscaler.forget(key);
        return undefined;
      }
      const scalerClass = found.metadata.annotations?.[autoscalingKey('class')] ?? kpaClass;
      if (found.metadata.deletionTimestamp || scalerClass !== kpaClass) return undefined;

      const seen = autoscaler.observe(key, found);
      const plan = plans(found, seen);
      if (plan.want > 0 && isTooEarly(found)) return { requeueAfter: firstPodMs };
      const waking = wakingFor(key, seen, plan);
      if (waking > 0) {
        if (plan.action === 'scale') await autoscaler.scale(key, found, plan.want);
        return { requeueAfter: waking };
      }
      const scaling = plan.action === 'scale' ? autoscaler.scale(key, found, plan.want) : undefined;
      const [sks] = await Promise.all([
        applyServerlessService(found, seen, plan),
        applyMetric(found, seen.spec),
        scaling,
      ]);
      await say(found, seen, plan, sks);
      if (plan.action === 'retire') await retire(key, found, seen);
      return plan.settled ? undefined : { requeueAfter: tickMs };
    },
  };

  /**
   * Before the first pod is made, all work goes into making it. Its creation brings us back, and the rest is done while
   * the app starts.
   */
  function isTooEarly({ metadata }: PodAutoscaler): boolean {
    if (serverlessInformer.get(`${metadata.namespace}/${metadata.name}`)) return false;
    if (clock.now() - Date.parse(metadata.creationTimestamp ?? '') > firstPodMs) return false;
    const revisionUid = metadata.labels?.[labels.revisionUid] ?? '';
    return (
      podInformer.list({ namespace: metadata.namespace ?? '', labels: { [labels.revisionUid]: revisionUid } })
        .length === 0
    );
  }

  /** How long the first pod may still take before the rest is told, ms. Its readiness brings us back. */
  function wakingFor(key: string, { readyPods }: Observation, { want }: Plan): number {
    if (want === 0 || readyPods.length > 0) return 0;
    return Math.min(wakingMs, autoscaler.wokenAt(key) + wakingMs - clock.now());
  }

  function plans(found: PodAutoscaler, seen: Observation): Plan {
    const revision = revisionInformer.get(`${found.metadata.namespace}/${found.metadata.name}`);
    const config = env.config.current;
    const deadline = revision
      ? progressDeadlineSeconds(revision, config) * 1000
      : config.deployment.progressDeadlineMs;
    return planScale({
      now: clock.now(),
      desired: seen.desired,
      replicas: seen.replicas,
      ready: seen.readyPods.length,
      reachable: seen.reachable,
      spec: seen.spec,
      conditions: found.status?.conditions,
      since: seen.since,
      progressDeadlineMs: deadline,
    });
  }

  /**
   * The way to zero on which no request is lost: the gateway sends the pods nothing new, what they still answer ends, and
   * only then they are removed. A request that comes meanwhile waits in the gateway and calls it off.
   */
  async function retire(key: string, found: PodAutoscaler, { readyPods }: Observation): Promise<void> {
    const started = clock.now();
    const uids = readyPods.map((pod) => pod.metadata.uid ?? '');
    const wakesBefore = autoscaler.wokenAt(key);
    const token = Symbol(key);
    retiring.set(key, token);
    const over = (): void => {
      if (retiring.get(key) !== token) return;
      retiring.delete(key);
      publisher.include(key);
    };
    try {
      await publisher.exclude(key, uids);
      await Promise.all(uids.map((uid) => deps.requestPath.untilIdle(uid, idleMs)));
    } catch (error) {
      over();
      throw error;
    }
    const called = autoscaler.wokenAt(key) !== wakesBefore || clock.now() - started > idleMs;
    if (called) return over();
    await autoscaler.scale(key, found, 0);
    clock.after(returnMs, over);
  }

  async function applyServerlessService(
    found: PodAutoscaler,
    seen: Observation,
    plan: Plan,
  ): Promise<ServerlessService> {
    const { namespace, name } = found.metadata;
    const serve = plan.want > 0 && seen.readyPods.length > 0 && seen.excessBurstCapacity >= 0;
    const capacity = env.config.current.autoscaler.activatorCapacity;
    const activators = activatorCount(seen.spec, seen.readyPods.length, capacity);
    const desired = makeServerlessService(found, serve ? 'Serve' : 'Proxy', activators);
    const existing = serverlessInformer.get(`${namespace}/${name}`);
    if (!existing) return createOrGet(client, serverlessServices, desired);
    if (deepEqual(existing.spec, desired.spec) || !isControlledBy(existing, found)) return existing;
    return patchChild(client, serverlessServices, existing, { spec: desired.spec });
  }

  async function applyMetric(found: PodAutoscaler, spec: ScalingSpec): Promise<Metric> {
    const { namespace, name } = found.metadata;
    const desired = makeMetric(found, spec);
    const existing = metricInformer.get(`${namespace}/${name}`);
    if (!existing) return createOrGet(client, metrics, desired);
    if (deepEqual(existing.spec, desired.spec) || !isControlledBy(existing, found)) return existing;
    return patchChild(client, metrics, existing, { spec: desired.spec });
  }

  async function say(
    found: PodAutoscaler,
    seen: Observation,
    plan: Plan,
    sks: ServerlessService,
  ): Promise<void> {
    const { generation, name } = found.metadata;
    await writeStatus(client, podAutoscalers, found, {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: nextConditions(
        autoscalerConditions,
        found.status?.conditions,
        {
          Active: plan.Active,
          ScaleTargetInitialized: plan.initialized ? conditionTrue : conditionUnknown(),
          SKSReady: serverlessSays(found, sks),
        },
        clock.now(),
      ),
      desiredScale: plan.want,
      actualScale: seen.readyPods.length,
      serviceName: name,
      metricsServiceName: privateServiceName(name),
    });
  }
}

/** The condition SKSReady. */
export function serverlessSays(found: PodAutoscaler, sks: ServerlessService): ConditionValue {
  if (!isControlledBy(sks, found)) {
    const name = JSON.stringify(sks.metadata.name);
    return conditionFalse('NotOwned', `There is an existing ServerlessService ${name} that we do not own.`);
  }
  return isTrue(sks.status?.conditions, 'Ready')
    ? conditionTrue
    : conditionUnknown('NotReady', 'SKS Services are not ready yet');
}
