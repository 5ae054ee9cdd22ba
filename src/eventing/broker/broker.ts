/** Broker: opens its topic, and says where it takes events and whether all of it works. */
import {
  brokerClassAnnotation,
  brokers,
  defaultBrokerClass,
  type Broker,
} from '../../api/eventing/broker.ts';
import { triggers } from '../../api/eventing/trigger.ts';
import {
  conditionFalse,
  conditionTrue,
  nextConditions,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import type { ResourceDef } from '../../api/resource.ts';
import { messageOf } from '../../base/errors.ts';
import { watches, type Controller, type ControllerEnv } from '../../kube/controller/controller.ts';
import type { ObjectKey } from '../../kube/client/client.ts';
import type { Topic } from '../buses/bus.ts';
import {
  UnresolvedError,
  watchAddressables,
  type AddressResolver,
  type ResolvedAddress,
} from '../resolver.ts';
import { writeStatus } from '../status.ts';
import type { BrokerTopics } from './topics.ts';

/** Host name of the broker ingress inside the cluster. The gateway forwards it to the ingress's address. */
export const brokerIngressHost = 'broker-ingress.knative-eventing.svc.cluster.local';

export function brokerUrl(namespace: string, name: string): string {
  return `http://${brokerIngressHost}/${namespace}/${name}`;
}

const brokerConditions = {
  happy: 'Ready',
  dependents: [
    'IngressReady',
    'TriggerChannelReady',
    'FilterReady',
    'Addressable',
    'DeadLetterSinkResolved',
    'EventPoliciesReady',
  ],
} as const;

/** Knapsack serves brokers of the default class only; others are left to whoever serves them. */
export function isOurs(broker: Broker): boolean {
  return broker.metadata.annotations?.[brokerClassAnnotation] === defaultBrokerClass;
}

const noDeadLetterSink: ConditionValue = {
  status: 'True',
  reason: 'DeadLetterSinkNotConfigured',
  message: 'No dead letter sink is configured.',
};

const noEventPolicies: ConditionValue = {
  status: 'True',
  reason: 'OIDCDisabled',
  message: 'Feature "authentication-oidc" must be enabled to support Authorization',
};

export interface BrokerControllerParts {
  readonly topics: BrokerTopics;
  readonly resolver: AddressResolver;
  readonly resources: readonly ResourceDef[];
}

export function makeBrokerController(env: ControllerEnv, parts: BrokerControllerParts): Controller {
  const informer = env.informers.for(brokers);
  const triggerInformer = env.informers.for(triggers);

  async function reconcile({ namespace = '', name }: ObjectKey): Promise<void> {
    const key = `${namespace}/${name}`;
    const broker = informer.get(key);
    if (!broker || broker.metadata.deletionTimestamp || !isOurs(broker)) {
      await parts.topics.remove(key);
      return;
    }
    const { uid = '' } = broker.metadata;
    let channel: ConditionValue = conditionTrue;
    try {
      const topic = await parts.topics.open(key, uid);
      await removeOrphanGroups(topic, namespace, name);
    } catch (error) {
      channel = conditionFalse('LogUnavailable', messageOf(error));
    }
    const deadLetterSink = await resolveDeadLetterSink(broker, namespace);
    await writeStatus(env.client, brokers, broker, nextStatus(broker, channel, deadLetterSink));
    // The disk may be back later; nothing else would tell.
    if (channel.status === 'False') throw new Error(`broker ${key}: ${channel.message}`);
  }

  /** A group whose trigger went while nobody looked would keep its events for ever. */
  async function removeOrphanGroups(topic: Topic, namespace: string, broker: string): Promise<void> {
    const uids = new Set(
      triggerInformer
        .list({ namespace })
        .filter((trigger) => trigger.spec?.broker === broker)
        .map((trigger) => trigger.metadata.uid),
    );
    for (const { group } of topic.lag()) if (!uids.has(group)) await topic.deleteGroup(group);
  }

  async function resolveDeadLetterSink(
    broker: Broker,
    namespace: string,
  ): Promise<{ condition: ConditionValue; address?: ResolvedAddress }> {
    const sink = broker.spec?.delivery?.deadLetterSink;
    if (!sink) return { condition: noDeadLetterSink };
    try {
      return { condition: conditionTrue, address: await parts.resolver.resolve(sink, namespace) };
    } catch (error) {
      if (!(error instanceof UnresolvedError)) throw error;
      return { condition: conditionFalse("Unable to get the DeadLetterSink's URI", error.message) };
    }
  }

  function nextStatus(
    broker: Broker,
    channel: ConditionValue,
    { condition, address }: { condition: ConditionValue; address?: ResolvedAddress },
  ): NonNullable<Broker['status']> {
    const { namespace = '', name, generation } = broker.metadata;
    return {
      ...(broker.status?.annotations && { annotations: broker.status.annotations }),
      ...(generation !== undefined && { observedGeneration: generation }),
      address: { name: 'http', url: brokerUrl(namespace, name) },
      ...deadLetterStatus(address),
      conditions: nextConditions(
        brokerConditions,
        broker.status?.conditions,
        {
          // Ingress, filter and dispatcher run in this process: while this runs, they do.
          IngressReady: conditionTrue,
          FilterReady: conditionTrue,
          Addressable: conditionTrue,
          TriggerChannelReady: channel,
          DeadLetterSinkResolved: condition,
          EventPoliciesReady: noEventPolicies,
        },
        env.clock.now(),
      ),
    };
  }

  return {
    name: 'broker',
    root: brokers,
    watches: [
      watches(triggers, ({ metadata, spec }) =>
        spec?.broker ? [`${metadata.namespace}/${spec.broker}`] : [],
      ),
      ...watchAddressables(
        parts.resources,
        () => informer.list(),
        (broker) => [broker.spec?.delivery?.deadLetterSink?.ref],
      ),
    ],
    reconcile,
  };
}

/** Members of a status that say where dead letters go. */
export function deadLetterStatus(address: ResolvedAddress | undefined): {
  deadLetterSinkUri?: string;
  deadLetterSinkCACerts?: string;
  deadLetterSinkAudience?: string;
} {
  if (!address) return {};
  return {
    deadLetterSinkUri: address.url,
    ...(address.caCerts && { deadLetterSinkCACerts: address.caCerts }),
    ...(address.audience && { deadLetterSinkAudience: address.audience }),
  };
}
