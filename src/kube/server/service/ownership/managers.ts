/** Managers of fields: the entries of `metadata.managedFields`, decoded, encoded, sorted and bounded. */
import { deepEqual } from '../../../../base/json.ts';
import type { ManagedFieldsEntry } from '../../../../api/object.ts';
import { canonicalTime } from '../../../../api/times.ts';
import { inOrder, parseFieldSet, union, type FieldSet } from './field-set.ts';

export type Operation = 'Apply' | 'Update';

/** A valid entry. Members come in this order on the wire, too. */
export interface Manager {
  readonly manager: string;
  readonly operation: Operation;
  readonly apiVersion: string;
  /** RFC 3339, whole seconds. */
  readonly time?: string;
  readonly fieldsType: 'FieldsV1';
  readonly fieldsV1: FieldSet;
  readonly subresource?: string;
}

/** Whose entry a write is about. */
export type ManagerKey = Pick<Manager, 'manager' | 'operation' | 'apiVersion' | 'subresource'>;

/** What tells entries apart, as JSON. Appliers keep their entry when they change to another version. */
export function identityOf({ manager, operation, apiVersion, subresource }: ManagerKey): string {
  return JSON.stringify({
    ...(manager === '' ? {} : { manager }),
    operation,
    ...(operation === 'Apply' ? {} : { apiVersion }),
    ...(subresource ? { subresource } : {}),
  });
}

/** Whether an entry is the one of a key. */
export function isEntryOf(key: ManagerKey, entry: Manager): boolean {
  return (
    entry.manager === key.manager &&
    entry.operation === key.operation &&
    (entry.subresource ?? '') === (key.subresource ?? '') &&
    (key.operation === 'Apply' || entry.apiVersion === key.apiVersion)
  );
}

export function entryOf(key: ManagerKey, fieldsV1: FieldSet, time: string | undefined): Manager {
  const { manager, operation, apiVersion, subresource } = key;
  return {
    manager,
    operation,
    apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: inOrder(fieldsV1),
    ...(subresource ? { subresource } : {}),
  };
}

/** The entries that a client sent, in one spelling; undefined when any is invalid. Of repeated ones the last counts. */
export function decodeManagers(entries: readonly ManagedFieldsEntry[]): readonly Manager[] | undefined {
  const found = new Map<string, Manager>();
  try {
    for (const { manager = '', operation, apiVersion, time, fieldsType, fieldsV1, subresource } of entries) {
      if ((operation !== 'Apply' && operation !== 'Update') || !apiVersion || fieldsType !== 'FieldsV1')
        return undefined;
      const key = { manager, operation, apiVersion, ...(subresource ? { subresource } : {}) } as const;
      const written = time === undefined ? undefined : canonicalTime('Time', time);
      found.set(identityOf(key), entryOf(key, parseFieldSet(fieldsV1), written));
    }
  } catch {
    return undefined;
  }
  return sorted([...found.values()]);
}

/** True for what a client sends to have an object's managers forgotten: `[]` or `[{}]`. */
export function isReset(entries: readonly ManagedFieldsEntry[]): boolean {
  const [first, ...others] = entries;
  return first === undefined || (others.length === 0 && Object.keys(first).length === 0);
}

/** Appliers first, then by time, name, version and subresource, as in Kubernetes. */
export function sorted(managers: readonly Manager[]): readonly Manager[] {
  if (managers.length < 2) return managers;
  return managers.toSorted(
    (a, b) =>
      compareText(a.operation, b.operation) ||
      compareTimes(a, b) ||
      compareText(a.manager, b.manager) ||
      compareText(a.apiVersion, b.apiVersion) ||
      compareText(a.subresource ?? '', b.subresource ?? ''),
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareTimes(a: Manager, b: Manager): number {
  if (a.time === b.time) return 0;
  return seconds(a) - seconds(b);
}

function seconds({ time }: Manager): number {
  const ms = time === undefined ? 0 : Date.parse(time);
  return Number.isNaN(ms) ? 0 : Math.floor(ms / 1000);
}

const maxUpdateManagers = 10;
const ancient = 'ancient-changes';

/** At most ten managers that update: the oldest of each version are taken together, as in Kubernetes. */
export function capped(managers: readonly Manager[]): readonly Manager[] {
  const updaters = managers.filter(({ operation }) => operation === 'Update');
  let excess = updaters.length - maxUpdateManagers;
  if (excess <= 0) return managers;
  updaters.sort((a, b) => compareTimes(a, b) || compareText(identityOf(a), identityOf(b)));
  const kept = new Set(managers);
  const buckets = new Map<string, Manager>();
  for (const entry of updaters) {
    if (excess <= 0) break;
    const { apiVersion } = entry;
    const bucketKey: ManagerKey = { manager: ancient, operation: 'Update', apiVersion };
    const before = buckets.get(apiVersion) ?? managers.find((each) => isEntryOf(bucketKey, each));
    if (before === entry) continue;
    if (!before) {
      buckets.set(apiVersion, entry);
      continue;
    }
    const bucket = entryOf(bucketKey, union(before.fieldsV1, entry.fieldsV1), entry.time);
    kept.delete(before);
    kept.delete(entry);
    kept.add(bucket);
    buckets.set(apiVersion, bucket);
    excess--;
  }
  return [...kept];
}

/** Whether two lists of entries say the same but for their times. */
export function equalButTimes(
  a: readonly ManagedFieldsEntry[] | undefined,
  b: readonly ManagedFieldsEntry[] | undefined,
): boolean {
  if (a === b) return true;
  if (!a || !b || a.length !== b.length) return false;
  return a.every((entry, i) => {
    const other = b[i];
    return other !== undefined && deepEqual({ ...entry, time: undefined }, { ...other, time: undefined });
  });
}
