/**
 * Eventing, put together: the bus on disk, the broker ingress, the dispatcher, and the controllers that steer them.
 *
 * The composition runs `controllers` with the kernel, gives the gateway a fixed backend for `brokerIngressHost` at
 * `ingress` (visibility `local`, or `public` to let producers outside the cluster in), and calls `close` after the
 * kernel has stopped.
 */
import { join } from 'node:path';
import { brokers } from '../api/eventing/broker.ts';
import { pingSources } from '../api/sources/pingsource.ts';
import type { KubeObject } from '../api/object.ts';
import type { ResourceDef } from '../api/resource.ts';
import { messageOf } from '../base/errors.ts';
import type { Informer } from '../kube/client/informer.ts';
import type { Controller, ControllerEnv } from '../kube/controller/controller.ts';
import { brokerIngressHost, makeBrokerController } from './broker/broker.ts';
import { BrokerTopics } from './broker/topics.ts';
import { LogBus, type LogBusOptions } from './buses/log-bus.ts';
import { Dispatcher } from './dispatcher/dispatcher.ts';
import { Sender, type Address, type ResolveTransport } from './dispatcher/sender.ts';
import { startIngress, type IngressOptions } from './ingress/server.ts';
import { PingClockwork } from './ping/clockwork.ts';
import { makePingSourceController } from './ping/ping-source.ts';
import { AddressResolver } from './resolver.ts';
import { makeTriggerController } from './trigger/trigger.ts';
import { TriggerSubscriptions } from './trigger/subscriptions.ts';

export interface EventingOptions {
  /** Eventing keeps its logs in `<dataDir>/events`. */
  readonly dataDir: string;
  /** Every kind that a subscriber, sink or dependency may refer to: the registry. */
  readonly resources: readonly ResourceDef[];
  /** Where to connect for a URL; undefined connects to the URL's own host. Cluster-local names need the gateway. */
  readonly resolveTransport: ResolveTransport;
  /** Host, port and limits of the broker ingress. */
  readonly ingress?: Partial<Omit<IngressOptions, 'lookup' | 'clock' | 'log'>>;
  /** Sizes and retention of the event logs. */
  readonly log?: LogBusOptions['limits'];
  /** How long `close` waits for deliveries under way, ms. Default 5 s. What is cut off is delivered after the restart. */
  readonly graceMs?: number;
}

export interface Eventing {
  readonly controllers: readonly Controller[];
  /** Where the broker ingress listens. */
  readonly ingress: Address;
  /** Refuses new events, ends deliveries under way or leaves them for the next start, and closes the logs. */
  close(): Promise<void>;
}

export async function startEventing(env: ControllerEnv, options: EventingOptions): Promise<Eventing> {
  const { clock } = env;
  const log = env.log.child({ part: 'eventing' });
  const bus = await LogBus.open({
    directory: join(options.dataDir, 'events'),
    clock,
    log,
    ...(options.log && { limits: options.log }),
  });
  const brokerInformer = env.informers.for(brokers);
  let brokersKnown = false;
  const topics = new BrokerTopics(bus, clock, (key) =>
    brokersKnown ? brokerInformer.get(key) !== undefined : undefined,
  );
  const ingress = await startIngress({
    ...options.ingress,
    lookup: (namespace, name) => topics.lookup(namespace, name),
    clock,
    log,
  }).catch(async (error: unknown) => {
    await bus.close(0);
    throw error;
  });
  // Events for a broker go straight to the ingress, not around by the gateway.
  const sender = new Sender((url) =>
    url.hostname === brokerIngressHost ? ingress.address : options.resolveTransport(url),
  );
  const dispatcher = new Dispatcher({ sender, clock, log });
  const subscriptions = new TriggerSubscriptions(dispatcher);
  const clockwork = new PingClockwork({ bus, dispatcher, clock, log });
  const resolver = new AddressResolver(env.client, options.resources);
  const parts = { topics, subscriptions, clockwork, resolver, resources: options.resources };

  const removeOrphans = async (): Promise<void> => {
    const sourceInformer = env.informers.for(pingSources);
    await Promise.all([brokerInformer.synced(), sourceInformer.synced()]);
    brokersKnown = true;
    await topics.removeOrphans((uid) => hasUid(brokerInformer, uid));
    await clockwork.removeOrphans((uid) => hasUid(sourceInformer, uid));
  };
  const orphansRemoved = removeOrphans().catch((error: unknown) => {
    log.error({ error: messageOf(error) }, 'events of deleted brokers not removed');
  });

  return {
    controllers: [
      makeBrokerController(env, parts),
      makeTriggerController(env, parts),
      makePingSourceController(env, parts),
    ],
    ingress: ingress.address,
    async close() {
      clockwork.close();
      await ingress.close();
      if (brokersKnown) await orphansRemoved;
      await bus.close(options.graceMs ?? 5000);
      sender.close();
    },
  };
}

function hasUid(informer: Informer<KubeObject>, uid: string): boolean {
  return informer.list().some(({ metadata }) => metadata.uid === uid);
}
