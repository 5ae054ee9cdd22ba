/** Ingress → the gateway: ready once every gateway worker serves this version of its rules. */
import {
  conditionFalse,
  conditionTrue,
  nextConditions,
  type ConditionSet,
} from '../../api/knative/conditions.ts';
import { ingresses, type Ingress } from '../../api/networking/index.ts';
import type { Controller } from '../../kube/controller/controller.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import type { GatewayAddress, ServingEnv } from '../env.ts';
import { isOurs, type Publication, type RoutePublisher } from '../routing/publisher.ts';

const ingressConditions: ConditionSet = {
  happy: 'Ready',
  dependents: ['LoadBalancerReady', 'NetworkConfigured'],
};

export function ingressController(
  env: ServingEnv,
  publisher: Pick<RoutePublisher, 'published'>,
  gateway: { readonly public: GatewayAddress; readonly private: GatewayAddress },
): Controller {
  const { client, clock, informers } = env;
  const informer = informers.for(ingresses);

  return {
    name: 'ingress',
    root: ingresses,
    concurrency: 16,
    async reconcile({ namespace, name }) {
      const ingress = informer.get(`${namespace}/${name}`);
      if (!ingress || ingress.metadata.deletionTimestamp || !isOurs(ingress)) return undefined;
      const publication = await publisher.published(ingress);
      await writeStatus(client, ingresses, ingress, nextStatus(ingress, publication));
      // The host may become free; nothing tells us when.
      if (publication.conflict) return { requeueAfter: 10_000 };
      return undefined;
    },
  };

  function nextStatus(ingress: Ingress, { conflict }: Publication): NonNullable<Ingress['status']> {
    const { generation } = ingress.metadata;
    const NetworkConfigured = conflict
      ? conditionFalse(
          'HostInUse',
          `Host ${JSON.stringify(conflict.host)} belongs to Ingress ${conflict.holder}.`,
        )
      : conditionTrue;
    return {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: nextConditions(
        ingressConditions,
        ingress.status?.conditions,
        { NetworkConfigured, LoadBalancerReady: conditionTrue },
        clock.now(),
      ),
      publicLoadBalancer: { ingress: [{ ...gateway.public }] },
      privateLoadBalancer: { ingress: [{ ...gateway.private }] },
    };
  }
}
