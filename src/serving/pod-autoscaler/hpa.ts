/**
 * PodAutoscaler (class HPA) → HorizontalPodAutoscaler, ServerlessService. Kubernetes' own autoscaler decides by cpu or memory;
 * such a revision always has a pod and is always active.
 */
import { autoscalingKey, hpaClass, readScalingSpec } from '../../api/autoscaling/annotations.ts';
import { podAutoscalers, type PodAutoscaler } from '../../api/autoscaling/index.ts';
import { conditionFalse, conditionTrue, nextConditions } from '../../api/knative/conditions.ts';
import type { HorizontalPodAutoscaler } from '../../api/kubernetes/autoscaling-defaults.ts';
import { horizontalPodAutoscalers } from '../../api/kubernetes/autoscaling.ts';
import { serverlessServices, type ServerlessService } from '../../api/networking/index.ts';
import { deepEqual } from '../../base/json.ts';
import type { Controller } from '../../kube/controller/controller.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import { createOrGet, isControlledBy, patchChild } from '../apply.ts';
import type { ServingEnv } from '../env.ts';
import { autoscalerConditions, serverlessSays } from './pod-autoscaler.ts';
import { makeHorizontalPodAutoscaler, makeServerlessService } from './resources/make.ts';

export function hpaController(env: ServingEnv): Controller {
  const { client, clock, informers } = env;
  const autoscalers = informers.for(podAutoscalers);
  const hpas = informers.for(horizontalPodAutoscalers);
  const serverless = informers.for(serverlessServices);

  return {
    name: 'pod-autoscaler-hpa',
    root: podAutoscalers,
    owns: [horizontalPodAutoscalers, serverlessServices],
    async reconcile({ namespace, name }) {
      const found = autoscalers.get(`${namespace}/${name}`);
      if (!found || found.metadata.deletionTimestamp) return;
      if (found.metadata.annotations?.[autoscalingKey('class')] !== hpaClass) return;
      const [hpa, sks] = await Promise.all([applyHpa(found), applyServerlessService(found)]);
      await say(found, hpa, sks);
    },
  };

  async function applyHpa(found: PodAutoscaler): Promise<HorizontalPodAutoscaler> {
    const { namespace, name, annotations = {} } = found.metadata;
    const scaling = readScalingSpec(annotations, 0, env.config.current.autoscaler);
    const min = found.spec?.reachability === 'Unreachable' ? 0 : scaling.minScale;
    const desired = makeHorizontalPodAutoscaler(found, { min, max: scaling.maxScale });
    const existing = hpas.get(`${namespace}/${name}`);
    if (!existing) return createOrGet(client, horizontalPodAutoscalers, desired);
    if (deepEqual(existing.spec, desired.spec) || !isControlledBy(existing, found)) return existing;
    const body = { spec: { behavior: null, ...desired.spec } };
    return patchChild(client, horizontalPodAutoscalers, existing, body);
  }

  async function applyServerlessService(found: PodAutoscaler): Promise<ServerlessService> {
    const { namespace, name } = found.metadata;
    const desired = makeServerlessService(found, 'Serve', 0);
    const existing = serverless.get(`${namespace}/${name}`);
    if (!existing) return createOrGet(client, serverlessServices, desired);
    if (deepEqual(existing.spec, desired.spec) || !isControlledBy(existing, found)) return existing;
    return patchChild(client, serverlessServices, existing, { spec: desired.spec });
  }

  async function say(
    found: PodAutoscaler,
    hpa: HorizontalPodAutoscaler,
    sks: ServerlessService,
  ): Promise<void> {
    const { generation, name } = found.metadata;
    const owned = isControlledBy(hpa, found);
    const notOwned = `There is an existing HorizontalPodAutoscaler ${JSON.stringify(name)} that we do not own.`;
    await writeStatus(client, podAutoscalers, found, {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: nextConditions(
        autoscalerConditions,
        found.status?.conditions,
        {
          Active: owned ? conditionTrue : conditionFalse('NotOwned', notOwned),
          ScaleTargetInitialized: conditionTrue,
          SKSReady: serverlessSays(found, sks),
        },
        clock.now(),
      ),
      ...(hpa.status
        ? { desiredScale: hpa.status.desiredReplicas, actualScale: hpa.status.currentReplicas ?? 0 }
        : {}),
      serviceName: name,
    });
  }
}
