/** Events: one storage, the core/v1 shape. */
import type { Issue } from '../resource.ts';
import { ageSince, column } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';

export type Event = KubernetesObject<'core.v1.Event'>;

function firstSeen(event: Event): string | undefined {
  return event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
}

/** `2m (x5 over 10m)` for an event that came again. */
function lastSeen(event: Event, now: number): string {
  const last = event.series?.lastObservedTime ?? event.lastTimestamp ?? firstSeen(event);
  const count = event.series?.count ?? event.count ?? 1;
  const age = ageSince(last, now);
  return count > 1 ? `${age} (x${count} over ${ageSince(firstSeen(event), now)})` : age;
}

export const events = kubernetesResource('core.v1.Event', {
  plural: 'events',
  shortNames: ['ev'],
  tracksGeneration: false,
  columns: [
    column('Last Seen'),
    column('Type'),
    column('Reason'),
    column('Object'),
    column('Subobject', 'wide'),
    column('Source', 'wide'),
    column('Message'),
    column('First Seen', 'wide'),
    column('Count', 'wide'),
    // Named here, so that it is the last column of the wide form and not the first of the narrow one.
    { ...column('Name', 'wide'), format: 'name' },
  ],
  cells: (event, now) => [
    lastSeen(event, now),
    event.type ?? '',
    event.reason ?? '',
    `${event.involvedObject.kind?.toLowerCase() ?? ''}/${event.involvedObject.name ?? ''}`,
    event.involvedObject.fieldPath ?? '',
    [event.source?.component ?? event.reportingComponent, event.source?.host].filter(Boolean).join(', '),
    (event.message ?? '').trim(),
    ageSince(firstSeen(event), now),
    event.series?.count ?? event.count ?? 1,
    event.metadata.name,
  ],
  mutate(event) {
    event.reportingComponent ??= '';
    event.reportingInstance ??= '';
  },
  issues(event) {
    const issues: Issue[] = [];
    // Required, which the schema reports, and so it may be missing here.
    const { involvedObject }: Partial<Event> = event;
    const namespace = involvedObject?.namespace;
    if (namespace && namespace !== event.metadata.namespace) {
      const detail = 'does not match event.namespace';
      issues.push({ type: 'Invalid', path: 'involvedObject.namespace', value: namespace, detail });
    }
    return issues;
  },
});
