/** PingSource: resolves its sink and keeps its clock running. */
import {
  conditionFalse,
  conditionTrue,
  nextConditions,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import type { ResourceDef } from '../../api/resource.ts';
import {
  pingEventSource,
  pingEventType,
  pingSources,
  type PingSource,
} from '../../api/sources/pingsource.ts';
import { InvalidScheduleError, parseSchedule, type Schedule } from '../../api/sources/schedule.ts';
import type { Controller, ControllerEnv } from '../../kube/controller/controller.ts';
import type { ObjectKey } from '../../kube/client/client.ts';
import { builtinDelivery, deliveryPolicy } from '../delivery.ts';
import {
  UnresolvedError,
  watchAddressables,
  type AddressResolver,
  type ResolvedAddress,
} from '../resolver.ts';
import { oidcDisabled, writeStatus } from '../status.ts';
import { makePingEvent, type PingClockwork } from './clockwork.ts';

const pingConditions = {
  happy: 'Ready',
  dependents: ['SinkProvided', 'Deployed', 'OIDCIdentityCreated'],
} as const;

export interface PingControllerParts {
  readonly clockwork: PingClockwork;
  readonly resolver: AddressResolver;
  readonly resources: readonly ResourceDef[];
}

export function makePingSourceController(env: ControllerEnv, parts: PingControllerParts): Controller {
  const informer = env.informers.for(pingSources);

  async function reconcile({ namespace = '', name }: ObjectKey): Promise<void> {
    const key = `${namespace}/${name}`;
    const source = informer.get(key);
    if (!source || source.metadata.deletionTimestamp) {
      await parts.clockwork.remove(key);
      return;
    }
    const { condition, sink } = await resolveSink(source, namespace);
    const deployed = await run(key, source, sink);
    await writeStatus(env.client, pingSources, source, nextStatus(source, condition, deployed, sink));
  }

  async function resolveSink(
    source: PingSource,
    namespace: string,
  ): Promise<{ condition: ConditionValue; sink?: ResolvedAddress }> {
    try {
      return {
        condition: conditionTrue,
        sink: await parts.resolver.resolve(source.spec?.sink ?? {}, namespace),
      };
    } catch (error) {
      if (!(error instanceof UnresolvedError)) throw error;
      return { condition: conditionFalse('NotFound', error.message) };
    }
  }

  /** A source without a sink does not fire; what it fired before waits. */
  async function run(
    key: string,
    source: PingSource,
    sink: ResolvedAddress | undefined,
  ): Promise<ConditionValue> {
    const { uid = '', namespace = '' } = source.metadata;
    const { schedule: text = '', timezone } = source.spec ?? {};
    let schedule: Schedule;
    try {
      schedule = parseSchedule(text, timezone);
    } catch (error) {
      // Admission refuses such schedules; one from elsewhere must not stop the others.
      if (!(error instanceof InvalidScheduleError)) throw error;
      await parts.clockwork.stop(key);
      return conditionFalse('InvalidSchedule', error.message);
    }
    if (!sink) {
      await parts.clockwork.stop(key);
      return conditionTrue;
    }
    await parts.clockwork.start(key, uid, {
      schedule,
      scheduleText: `${timezone ?? ''} ${text}`,
      makeEvent: (now) => makePingEvent(source, now),
      plan: {
        name: `pingsource ${key}`,
        namespace,
        subscriber: sink,
        policy: deliveryPolicy(builtinDelivery),
      },
    });
    return conditionTrue;
  }

  function nextStatus(
    source: PingSource,
    sinkProvided: ConditionValue,
    deployed: ConditionValue,
    sink: ResolvedAddress | undefined,
  ): NonNullable<PingSource['status']> {
    const { namespace = '', name, generation } = source.metadata;
    return {
      ...(source.status?.annotations && { annotations: source.status.annotations }),
      ...(generation !== undefined && { observedGeneration: generation }),
      ...(sink && { sinkUri: sink.url }),
      ...(sink?.caCerts && { sinkCACerts: sink.caCerts }),
      ...(sink?.audience && { sinkAudience: sink.audience }),
      ceAttributes: [{ type: pingEventType, source: pingEventSource(namespace, name) }],
      conditions: nextConditions(
        pingConditions,
        source.status?.conditions,
        { SinkProvided: sinkProvided, Deployed: deployed, OIDCIdentityCreated: oidcDisabled },
        env.clock.now(),
      ),
    };
  }

  return {
    name: 'pingsource',
    root: pingSources,
    watches: watchAddressables(
      parts.resources,
      () => informer.list(),
      ({ spec }) => [spec?.sink?.ref],
    ),
    reconcile,
  };
}
