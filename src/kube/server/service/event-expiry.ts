/** Events are news, not records: like the API server's `--event-ttl` they go an hour after they were last seen. */
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import type { KubeObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { keyOfMeta } from './place.ts';
import { hasReason } from '../../api-error.ts';
import type { ApiService } from './service.ts';

const defaultTtlMs = 60 * 60_000;
const sweepEveryMs = 60_000;

interface EventShape extends KubeObject {
  lastTimestamp?: string | null;
  eventTime?: string | null;
  series?: { lastObservedTime?: string | null };
}

/** Sweeps old Events once a minute until the returned function is called. `ttlMs` counts from the last occurrence. */
export function startEventExpiry(
  service: ApiService,
  events: ResourceDef,
  options: { readonly clock: Clock; readonly log: Logger; readonly ttlMs?: number },
): () => void {
  const { clock, log, ttlMs = defaultTtlMs } = options;
  let stopped = false;
  let cancel: () => void = () => undefined;
  const schedule = (): void => {
    if (stopped) return;
    cancel = clock.after(sweepEveryMs, () => {
      expireEvents(service, events, clock.now() - ttlMs)
        .catch((error: unknown) => log.warn({ err: error }, 'old events were not removed'))
        .finally(schedule);
    });
  };
  schedule();
  return () => {
    stopped = true;
    cancel();
  };
}

/** Removes events that were last seen before `before` (milliseconds since the epoch) and gives their number. */
export async function expireEvents(
  service: ApiService,
  events: ResourceDef,
  before: number,
): Promise<number> {
  const { records } = await service.list(events);
  const old = records.map(({ object }) => object).filter((event) => lastSeen(event) < before);
  for (const { metadata } of old) {
    try {
      await service.delete(events, keyOfMeta(metadata), {
        user: 'system:apiserver',
        // It may have occurred again in the meantime.
        preconditions: metadata.resourceVersion ? { resourceVersion: metadata.resourceVersion } : {},
      });
    } catch (error) {
      if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
    }
  }
  return old.length;
}

function lastSeen(event: EventShape): number {
  const times = [
    event.metadata.creationTimestamp,
    event.lastTimestamp,
    event.eventTime,
    event.series?.lastObservedTime,
  ];
  const known = times.map((time) => Date.parse(time ?? '')).filter((time) => !Number.isNaN(time));
  // Without any time there is nothing to judge by: it stays.
  return known.length > 0 ? Math.max(...known) : Number.POSITIVE_INFINITY;
}
