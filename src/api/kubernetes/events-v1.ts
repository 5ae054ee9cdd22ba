/** events.k8s.io/v1: the newer face of events. Kept as core/v1 Events; both groups show the same objects. */
import type { UntypedObject } from '../object.ts';
import { apiVersionOf, type Conversion, type Issue, type ResourceDef } from '../resource.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';
import { events, type Event } from './events.ts';

export type EventV1 = KubernetesObject<'events.v1.Event'>;

const maxNoteBytes = 1024;

/** Members that have another name on the other side: core/v1, events.k8s.io/v1. */
const renamed = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['reportingComponent', 'reportingController'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
] as const;

const toNewer = new Map<string, string>(renamed.map(([core, newer]) => [core, newer]));
const toCore = new Map<string, string>(renamed.map(([core, newer]) => [newer, core]));

function rename(
  object: UntypedObject,
  names: ReadonlyMap<string, string>,
  apiVersion: string,
): UntypedObject {
  const members = Object.entries(structuredClone<UntypedObject>(object));
  const out = Object.fromEntries(members.map(([key, value]) => [names.get(key) ?? key, value]));
  return { ...(out as UntypedObject), apiVersion };
}

function inGroup(object: UntypedObject, to: ResourceDef): UntypedObject {
  const apiVersion = apiVersionOf(to);
  if (object.apiVersion === apiVersion) return structuredClone<UntypedObject>(object);
  if (apiVersion !== 'v1') {
    // Written also when nobody set it: Java's client wants the member, Go writes null.
    return { ...rename(object, toNewer, apiVersion), eventTime: object['eventTime'] ?? null };
  }
  const core = rename(object, toCore, apiVersion);
  if (core['eventTime'] === null) delete core['eventTime'];
  return core;
}

const conversion: Conversion = {
  stored: () => events,
  convert: (objects, to) => objects.map((object) => inGroup(object, to)),
};

/** Events of this group say who reports them, what was done, and when; those written as core/v1 need not. */
function eventIssues(event: EventV1): Issue[] {
  const issues: Issue[] = [];
  const required = (
    path: 'reportingController' | 'reportingInstance' | 'action' | 'reason' | 'type',
  ): void => {
    if (!event[path]) issues.push({ type: 'Required', path, detail: '' });
  };
  for (const path of ['reportingController', 'reportingInstance', 'action', 'reason', 'type'] as const) {
    required(path);
  }
  if (event.type && event.type !== 'Normal' && event.type !== 'Warning') {
    const detail = `has invalid value: ${event.type}`;
    issues.push({ type: 'Invalid', path: 'type', value: '', detail });
  }
  if (Buffer.byteLength(event.note ?? '') > maxNoteBytes) {
    const detail = `can have at most ${maxNoteBytes} bytes`;
    issues.push({ type: 'Invalid', path: 'note', value: '', detail });
  }
  const namespace = event.regarding?.namespace;
  if (namespace && namespace !== event.metadata.namespace) {
    const detail = 'does not match event.namespace';
    issues.push({ type: 'Invalid', path: 'involvedObject.namespace', value: namespace, detail });
  }
  return issues;
}

export const eventsV1 = kubernetesResource('events.v1.Event', {
  group: 'events.k8s.io',
  plural: 'events',
  shortNames: ['ev'],
  tracksGeneration: false,
  columns: events.columns,
  cells: (event, now) =>
    events.cells?.(inGroup(event as unknown as UntypedObject, events) as unknown as Event, now) ?? [],
  // An event that is only updated may be of the older kind.
  issues: (event, { operation }) => (operation === 'CREATE' ? eventIssues(event) : []),
  conversion,
});
