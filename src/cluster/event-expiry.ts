/** Events are kept for one hour after they were last seen, as kube-apiserver does by default. */
import { events, type Event } from '../api/kubernetes/events.ts';
import { hasReason } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Controller, ControllerEnv, Outcome } from '../kube/controller/controller.ts';

export const eventLifetimeMs = 3_600_000;

function lastSeen(event: Event): number {
  const text =
    event.series?.lastObservedTime ??
    event.lastTimestamp ??
    event.eventTime ??
    event.metadata.creationTimestamp;
  return Date.parse(text ?? '') || 0;
}

export function eventExpiryController(env: ControllerEnv): Controller {
  const informer = env.informers.for(events);
  return {
    name: 'event expiry',
    root: events,
    async reconcile({ namespace = '', name }: ObjectKey): Promise<Outcome> {
      const event = informer.get(`${namespace}/${name}`);
      if (!event) return undefined;
      const left = lastSeen(event) + eventLifetimeMs - env.clock.now();
      if (left > 0) return { requeueAfter: left };
      try {
        await env.client.delete(events, { namespace, name });
      } catch (error) {
        if (!hasReason(error, 'NotFound')) throw error;
      }
      return undefined;
    },
  };
}
