/** What changes in the objects of a backup that is restored. Pure. */
import type { LogEntry } from '../../kube/store/backend.ts';

type Stored = LogEntry & { readonly json: string };

interface AnyObject {
  readonly metadata: {
    readonly name?: string;
    readonly namespace?: string;
    readonly [field: string]: unknown;
  };
  readonly spec?: { readonly nodeName?: string; readonly [field: string]: unknown };
  readonly status?: unknown;
}

/** Versions skipped at least, and for each millisecond since the backup: more than any store gives out. */
const skippedAtLeast = 1_000_000_000;
const skippedPerMs = 100;

/**
 * The version that a restored store stands at. Clients have seen versions from after the backup; were they given out again,
 * for other changes, a watch that resumes would miss those. So all of them are skipped, and whoever resumes from before gets
 * 410 and lists anew. `age` is the milliseconds since the backup.
 */
export function versionAfterRestore(resourceVersion: number, age: number): number {
  return resourceVersion + skippedAtLeast + Math.max(0, Math.ceil(age)) * skippedPerMs;
}

/**
 * An object on a machine with another name than the one it was backed up on: the old node is not there, and pods that were
 * bound to it start anew where they are now. Undefined: the object has no place here.
 */
export function rehome(entry: Stored, oldHost: string): LogEntry | undefined {
  const { table, key } = entry;
  if (table === 'nodes') return key === oldHost ? undefined : entry;
  if (table === 'leases.coordination.k8s.io') return key === `kube-node-lease/${oldHost}` ? undefined : entry;
  if (table !== 'pods') return entry;
  const { spec, status: _before, ...pod } = JSON.parse(entry.json) as AnyObject;
  if (spec?.nodeName !== oldHost) return entry;
  const { nodeName: _old, ...unbound } = spec;
  return { ...entry, json: JSON.stringify({ ...pod, spec: unbound, status: { phase: 'Pending' } }) };
}
