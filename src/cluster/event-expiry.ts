/** Events are kept for one hour after they were last written, as kube-apiserver does by default. */
import { events, type Event } from '../api/kubernetes/events.ts';
import { hasReason } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Controller, ControllerEnv, Outcome } from '../kube/controller/controller.ts';

export const eventLifetimeMs = 3_600_000;

/**
 * About when the event was last written, in milliseconds since the epoch. Writers say when they saw it, but may be asked to
 * tell what is long past, and their clocks may be wrong: it is never before the event came.
 */
function lastWritten(event: Event): number {
  const seen = event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime;
  return Math.max(...[seen, event.metadata.creationTimestamp].map((text) => Date.parse(text ?? '') || 0));
}

export function eventExpiryController(env: ControllerEnv): Controller {
  const informer = env.informers.for(events);
  return {
    name: 'event expiry',
    root: events,
    async reconcile({ namespace = '', name }: ObjectKey): Promise<Outcome> {
      const event = informer.get(`${namespace}/${name}`);
      if (!event) return undefined;
      const left = lastWritten(event) + eventLifetimeMs - env.clock.now();
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
