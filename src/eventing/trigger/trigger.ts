/** Trigger: resolves its subscriber and has its broker's events delivered there. */
import { brokers, type Broker } from '../../api/eventing/broker.ts';
import {
  dependencyAnnotation,
  orderAnnotation,
  parseDependency,
  triggers,
  type Trigger,
} from '../../api/eventing/trigger.ts';
import {
  conditionFalse,
  conditionTrue,
  conditionUnknown,
  findCondition,
  isTrue,
  nextConditions,
  type ConditionList,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import { configMaps } from '../../api/kubernetes/core.ts';
import type { KubeObject } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';
import { messageOf } from '../../base/errors.ts';
import {
  watches,
  type Controller,
  type ControllerEnv,
  type Outcome,
} from '../../kube/controller/controller.ts';
import type { ObjectKey } from '../../kube/client/client.ts';
import { brokerUrl, deadLetterStatus, isOurs } from '../broker/broker.ts';
import type { BrokerTopics } from '../broker/topics.ts';
import type { Topic } from '../buses/bus.ts';
import {
  brokerDefaultsName,
  builtinDelivery,
  defaultDelivery,
  deliveryPolicy,
  systemNamespace,
} from '../delivery.ts';
import type { DeliveryPlan } from '../dispatcher/dispatcher.ts';
import { makeFilter } from '../filter/filter.ts';
import {
  UnresolvedError,
  watchAddressables,
  type AddressResolver,
  type ResolvedAddress,
} from '../resolver.ts';
import { oidcDisabled, writeStatus } from '../status.ts';
import type { TriggerSubscriptions } from './subscriptions.ts';

const triggerConditions = {
  happy: 'Ready',
  dependents: [
    'BrokerReady',
    'SubscriptionReady',
    'DependencyReady',
    'SubscriberResolved',
    'DeadLetterSinkResolved',
    'OIDCIdentityCreated',
  ],
} as const;

export interface TriggerControllerParts {
  readonly topics: BrokerTopics;
  readonly subscriptions: TriggerSubscriptions;
  readonly resolver: AddressResolver;
  readonly resources: readonly ResourceDef[];
}

/** A dependency other than an addressable cannot be watched here: it is looked at again after this time, ms. */
const dependencyPollMs = 5000;

type Values = { [type: string]: ConditionValue };

export function makeTriggerController(env: ControllerEnv, parts: TriggerControllerParts): Controller {
  const informer = env.informers.for(triggers);
  const brokerInformer = env.informers.for(brokers);
  const configInformer = env.informers.for(configMaps);

  async function reconcile({ namespace = '', name }: ObjectKey): Promise<Outcome> {
    const key = `${namespace}/${name}`;
    const trigger = informer.get(key);
    if (!trigger || trigger.metadata.deletionTimestamp) {
      // The broker's reconciler removes the group, as it does after a crash.
      await parts.subscriptions.deactivate(key);
      return;
    }
    const broker = brokerInformer.get(`${namespace}/${trigger.spec?.broker}`);
    if (broker && !isOurs(broker)) {
      await parts.subscriptions.deactivate(key);
      return;
    }
    const values: Values = { OIDCIdentityCreated: oidcDisabled };
    values['BrokerReady'] = brokerReady(trigger, broker);
    const subscriber = await resolveSubscriber(trigger, namespace, values);
    const deadLetterSink = await resolveDeadLetterSink(trigger, broker, namespace, values);
    values['DependencyReady'] = await dependencyReady(trigger, namespace);
    await subscribe(trigger, broker, subscriber, deadLetterSink, values);
    await writeStatus(env.client, triggers, trigger, nextStatus(trigger, values, subscriber, deadLetterSink));
    // Only the disk can be at fault, and nothing tells when it is well again.
    if (values['SubscriptionReady']?.status === 'False') return { requeue: true };
    if (values['DependencyReady'].status !== 'True') return { requeueAfter: dependencyPollMs };
  }

  async function resolveSubscriber(
    trigger: Trigger,
    namespace: string,
    values: Values,
  ): Promise<ResolvedAddress | undefined> {
    try {
      const address = await parts.resolver.resolve(trigger.spec?.subscriber ?? {}, namespace);
      values['SubscriberResolved'] = conditionTrue;
      return address;
    } catch (error) {
      if (!(error instanceof UnresolvedError)) throw error;
      values['SubscriberResolved'] = conditionFalse("Unable to get the Subscriber's URI", error.message);
      return undefined;
    }
  }

  /** The trigger's own sink, else the broker's. */
  async function resolveDeadLetterSink(
    trigger: Trigger,
    broker: Broker | undefined,
    namespace: string,
    values: Values,
  ): Promise<ResolvedAddress | undefined> {
    const own = trigger.spec?.delivery?.deadLetterSink;
    values['DeadLetterSinkResolved'] = conditionTrue;
    try {
      if (own) return await parts.resolver.resolve(own, namespace);
    } catch (error) {
      if (!(error instanceof UnresolvedError)) throw error;
      values['DeadLetterSinkResolved'] = conditionFalse(
        "Unable to get the dead letter sink's URI",
        error.message,
      );
      return undefined;
    }
    if (!broker?.spec?.delivery?.deadLetterSink) {
      values['DeadLetterSinkResolved'] = {
        status: 'True',
        reason: 'DeadLetterSinkNotConfigured',
        message: 'No dead letter sink is configured.',
      };
      return undefined;
    }
    const { deadLetterSinkUri: url, deadLetterSinkCACerts, deadLetterSinkAudience } = broker.status ?? {};
    if (url) return { url, caCerts: deadLetterSinkCACerts, audience: deadLetterSinkAudience };
    values['DeadLetterSinkResolved'] = conditionFalse(
      `Broker ${broker.metadata.name} didn't set status.deadLetterSinkURI`,
    );
    return undefined;
  }

  async function dependencyReady(trigger: Trigger, namespace: string): Promise<ConditionValue> {
    const annotation = trigger.metadata.annotations?.[dependencyAnnotation];
    if (annotation === undefined) return conditionTrue;
    const reference = parseDependency(annotation);
    if (!reference) return conditionFalse('ReferenceError', 'the annotation is not an object reference');
    try {
      const object: KubeObject & { status?: { conditions?: ConditionList; observedGeneration?: number } } =
        await parts.resolver.get(reference, namespace);
      if (object.metadata.generation !== object.status?.observedGeneration) {
        return conditionUnknown(
          'GenerationNotEqual',
          `The dependency's metadata.generation, ${object.metadata.generation}, is not equal to its status.observedGeneration, ${object.status?.observedGeneration}.`,
        );
      }
      const ready = findCondition(object.status?.conditions, 'Ready');
      if (!ready)
        return conditionUnknown('DependencyNotConfigured', 'Dependency has not yet been reconciled.');
      return ready.status === 'True' ? conditionTrue : ready;
    } catch (error) {
      if (!(error instanceof UnresolvedError)) throw error;
      return conditionFalse('DependencyDoesNotExist', `Dependency does not exist: ${error.message}`);
    }
  }

  /**
   * The group is made as soon as the broker takes events, so that none sent from then on is missed; delivery starts
   * when there is a subscriber, and waits while there is none.
   */
  async function subscribe(
    trigger: Trigger,
    broker: Broker | undefined,
    subscriber: ResolvedAddress | undefined,
    deadLetterSink: ResolvedAddress | undefined,
    values: Values,
  ): Promise<void> {
    const { namespace = '', name, uid = '' } = trigger.metadata;
    const key = `${namespace}/${name}`;
    const brokerKey = `${namespace}/${trigger.spec?.broker}`;
    if (!broker || broker.metadata.deletionTimestamp) {
      await parts.subscriptions.deactivate(key);
      values['SubscriptionReady'] = conditionUnknown(
        'SubscriptionNotConfigured',
        'Subscription has not yet been reconciled.',
      );
      return;
    }
    let topic: Topic;
    try {
      // Whoever of the two reconcilers comes first opens it: nothing would call this one again when the other does.
      topic = await parts.topics.open(brokerKey, broker.metadata.uid ?? '');
      await topic.createGroup(uid);
    } catch (error) {
      values['SubscriptionReady'] = conditionFalse('NotSubscribed', messageOf(error));
      return;
    }
    values['SubscriptionReady'] = conditionTrue;
    if (!subscriber || values['DeadLetterSinkResolved']?.status === 'False') {
      await parts.subscriptions.deactivate(key);
      return;
    }
    await parts.subscriptions.activate(key, uid, topic, {
      filter: makeFilter({
        ...(trigger.spec?.filter && { filter: trigger.spec.filter }),
        filters: trigger.spec?.filters ?? [],
      }),
      plan: makePlan(trigger, broker, subscriber, deadLetterSink),
      ordered: trigger.metadata.annotations?.[orderAnnotation] === 'ordered',
    });
  }

  function makePlan(
    trigger: Trigger,
    broker: Broker,
    subscriber: ResolvedAddress,
    deadLetterSink: ResolvedAddress | undefined,
  ): DeliveryPlan {
    const { namespace = '', name } = trigger.metadata;
    const brokerName = broker.metadata.name;
    const { uid = '' } = broker.metadata;
    return {
      name: `trigger ${namespace}/${name}`,
      namespace,
      subscriber,
      deadLetterSink,
      policy: deliveryPolicy(trigger.spec?.delivery, broker.spec?.delivery, installationDelivery(namespace)),
      reply: {
        url: brokerUrl(namespace, brokerName),
        append: (message) => parts.topics.reply(`${namespace}/${brokerName}`, uid, message),
      },
    };
  }

  function installationDelivery(namespace: string): ReturnType<typeof defaultDelivery> {
    try {
      return defaultDelivery(configInformer.get(`${systemNamespace}/${brokerDefaultsName}`)?.data, namespace);
    } catch (error) {
      env.log.warn(
        { configMap: brokerDefaultsName, error: messageOf(error) },
        'broker defaults cannot be read',
      );
      return builtinDelivery;
    }
  }

  function nextStatus(
    trigger: Trigger,
    values: Values,
    subscriber: ResolvedAddress | undefined,
    deadLetterSink: ResolvedAddress | undefined,
  ): NonNullable<Trigger['status']> {
    const { generation } = trigger.metadata;
    return {
      ...(trigger.status?.annotations && { annotations: trigger.status.annotations }),
      ...(generation !== undefined && { observedGeneration: generation }),
      ...(subscriber && { subscriberUri: subscriber.url }),
      ...(subscriber?.caCerts && { subscriberCACerts: subscriber.caCerts }),
      ...(subscriber?.audience && { subscriberAudience: subscriber.audience }),
      ...deadLetterStatus(deadLetterSink),
      conditions: nextConditions(triggerConditions, trigger.status?.conditions, values, env.clock.now()),
    };
  }

  const keyOf = ({ metadata }: KubeObject): string => `${metadata.namespace}/${metadata.name}`;
  return {
    name: 'trigger',
    root: triggers,
    watches: [
      watches(brokers, ({ metadata }) =>
        informer
          .list({ namespace: metadata.namespace ?? '' })
          .filter((trigger) => trigger.spec?.broker === metadata.name)
          .map(keyOf),
      ),
      watches(configMaps, ({ metadata }) =>
        metadata.namespace === systemNamespace && metadata.name === brokerDefaultsName
          ? informer.list().map(keyOf)
          : [],
      ),
      ...watchAddressables(
        parts.resources,
        () => informer.list(),
        ({ spec }) => [spec?.subscriber?.ref, spec?.delivery?.deadLetterSink?.ref],
      ),
    ],
    reconcile,
  };
}

function brokerReady(trigger: Trigger, broker: Broker | undefined): ConditionValue {
  if (!broker) {
    return conditionFalse(
      'BrokerDoesNotExist',
      `Broker ${JSON.stringify(trigger.spec?.broker)} does not exist`,
    );
  }
  if (isTrue(broker.status?.conditions, 'Ready')) return conditionTrue;
  return (
    findCondition(broker.status?.conditions, 'Ready') ??
    conditionUnknown('BrokerNotConfigured', 'Broker has not yet been reconciled.')
  );
}
