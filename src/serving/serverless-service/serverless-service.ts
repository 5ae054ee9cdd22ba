/**
 * ServerlessService → a public and a private Service. The gateway is in the way of every request and needs neither;
 * they are for programs that look a revision up by its DNS name.
 */
import { endpoints as endpointsResource, services, type Service } from '../../api/kubernetes/services.ts';
import { pods as podResource } from '../../api/kubernetes/pods.ts';
import {
  conditionFalse,
  conditionTrue,
  conditionUnknown,
  nextConditions,
  type ConditionSet,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import { serverlessServices, type ServerlessService } from '../../api/networking/index.ts';
import { labels } from '../../api/serving/labels.ts';
import { revisions } from '../../api/serving/index.ts';
import { deepEqual } from '../../base/json.ts';
import { watches, type Controller } from '../../kube/controller/controller.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import { createOrGet, isControlledBy, patchChild } from '../apply.ts';
import type { ServingEnv } from '../env.ts';
import { defaultUserPort, userPort } from '../revision/resources/names.ts';
import {
  makeEndpoints,
  makePrivateService,
  makePublicService,
  privateServiceName,
} from './resources/make.ts';

const serverlessServiceConditions: ConditionSet = { happy: 'Ready', dependents: ['EndpointsPopulated'] };

const noHealthyBackends = conditionUnknown('NoHealthyBackends');

export function serverlessServiceController(env: ServingEnv): Controller {
  const { client, clock, informers } = env;
  const informer = informers.for(serverlessServices);
  const serviceInformer = informers.for(services);
  const endpointsInformer = informers.for(endpointsResource);
  const podInformer = informers.for(podResource);
  const revisionInformer = informers.for(revisions);

  return {
    name: 'serverless-service',
    restMs: 20,
    root: serverlessServices,
    owns: [services],
    watches: [
      watches(podResource, ({ metadata }) => {
        const name = metadata.labels?.[labels.revision];
        return name ? [`${metadata.namespace}/${name}`] : [];
      }),
    ],
    async reconcile({ namespace = '', name }) {
      const sks = informer.get(`${namespace}/${name}`);
      if (!sks || sks.metadata.deletionTimestamp) return;
      const revision = revisionInformer.get(`${namespace}/${name}`);
      const port = revision ? userPort(revision) : defaultUserPort;
      const uid = sks.metadata.labels?.[labels.revisionUid] ?? '';
      const pods = podInformer.list({ namespace, labels: { [labels.revisionUid]: uid } });
      const wanted = makeEndpoints(sks, pods, port);
      const key = `${namespace}/${name}`;
      const [publicService, privateService] = await Promise.all([
        ensureService(sks, makePublicService(sks, port)),
        ensureService(sks, makePrivateService(sks, port)),
        ensureEndpoints(),
      ]);
      const foreign = [publicService, privateService].find((service) => !isControlledBy(service, sks));
      const populated = (wanted.subsets?.length ?? 0) > 0 ? conditionTrue : noHealthyBackends;
      await say(sks, foreign ? notOwned(foreign.metadata.name) : populated);

      async function ensureEndpoints(): Promise<void> {
        const existing = endpointsInformer.get(key) ?? (await createOrGet(client, endpointsResource, wanted));
        if (deepEqual(existing.subsets ?? [], wanted.subsets)) return;
        await patchChild(client, endpointsResource, existing, { subsets: wanted.subsets });
      }
    },
  };

  async function ensureService({ metadata }: ServerlessService, desired: Service): Promise<Service> {
    const existing = serviceInformer.get(`${metadata.namespace}/${desired.metadata.name}`);
    return existing ?? createOrGet(client, services, desired);
  }

  async function say(sks: ServerlessService, populated: ConditionValue): Promise<void> {
    const { generation, name } = sks.metadata;
    await writeStatus(client, serverlessServices, sks, {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: nextConditions(
        serverlessServiceConditions,
        sks.status?.conditions,
        { EndpointsPopulated: populated, ActivatorEndpointsPopulated: conditionTrue },
        clock.now(),
      ),
      serviceName: name,
      privateServiceName: privateServiceName(name),
    });
  }
}

function notOwned(name: string): ConditionValue {
  return conditionFalse(
    'NotOwned',
    `There is an existing Service ${JSON.stringify(name)} that we do not own.`,
  );
}
