/**
 * Reads of the store that nobody can be misled by: whatever is answered, refusals included, waits until the writes that it
 * rests on are durable.
 */
import type { KubeObject } from '../../../api/object.ts';
import { qualifiedName, storedAs, type ResourceDef } from '../../../api/resource.ts';
import { ApiError } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import type { StoredRecord } from '../../store/record.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { deepFreeze } from '../../../base/json.ts';
import type { Served } from './requests.ts';
import { badRequest, expired, forbidden, notFound, tooLargeVersion } from './errors.ts';
import { keyIn } from './place.ts';

export class Reads {
  readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }

  table(def: ResourceDef): Table {
    return this.store.table(qualifiedName(storedAs(def)));
  }

  /** The object as of now, once it is durable. */
  async read(def: ResourceDef, key: ObjectKey): Promise<StoredRecord> {
    const table = this.table(def);
    for (;;) {
      const record = table.get(keyIn(def, key));
      // Absence may be due to a removal that is not durable yet.
      const kept = await this.store.durable(record?.resourceVersion ?? table.lastWrite);
      if (kept === false) continue;
      if (record) return record;
      throw notFound(def, key.name);
    }
  }

  /** All objects as of one version, once that is durable. */
  async snapshot(
    def: ResourceDef,
    namespace: string | undefined,
    name: string | undefined,
  ): Promise<{ records: readonly StoredRecord[]; version: number }> {
    const table = this.table(def);
    for (;;) {
      let records: readonly StoredRecord[];
      if (name !== undefined && (namespace || !def.namespaced)) {
        const record = table.get(keyIn(def, { name, ...(namespace ? { namespace } : {}) }));
        records = record ? [record] : [];
      } else {
        records = table.records(def.namespaced ? namespace : undefined);
      }
      const version = Math.max(table.lastWrite, this.store.resourceVersion);
      const kept = await this.store.durable(table.lastWrite);
      if (kept !== false) return { records, version };
    }
  }

  /** All objects as of a version that may have passed: what happened since is undone. Throws 410 when that is forgotten. */
  async snapshotAt(
    def: ResourceDef,
    namespace: string | undefined,
    version: number,
  ): Promise<{ records: readonly StoredRecord[]; version: number }> {
    const now = await this.snapshot(def, namespace, undefined);
    const later = this.table(def).since(version);
    if (!later) throw expired(`The resourceVersion for the provided list is too old: ${version}`);
    const prefix = def.namespaced && namespace ? `${namespace}/` : '';
    const records = new Map(now.records.map((record) => [record.key, record]));
    for (const { resourceVersion, record, prev } of later.toReversed()) {
      if (resourceVersion > now.version || !record.key.startsWith(prefix)) continue;
      if (prev) records.set(prev.key, prev);
      else records.delete(record.key);
    }
    const sorted = [...records.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    return { records: sorted, version };
  }

  /**
   * The object that a write starts from: maybe not durable yet, then neither is what follows from it. Synchronous on
   * purpose: an await between this look and the write would let another write in between, and lose it.
   */
  current(def: ResourceDef, key: ObjectKey): { table: Table; current: StoredRecord } | undefined {
    const table = this.table(def);
    const current = table.get(keyIn(def, key));
    return current && { table, current };
  }

  /** Throws 404, once the absence is durable. */
  missing(def: ResourceDef, key: ObjectKey): Promise<never> {
    return this.refuse(this.table(def), notFound(def, key.name));
  }

  /** Why an object may not be created in its namespace: 404 without one, 403 while it is being deleted. */
  namespaceRefusal(namespaces: Table, def: ResourceDef, object: KubeObject): ApiError | undefined {
    const { namespace } = object.metadata;
    if (!def.namespaced || !namespace) return undefined;
    const record = namespaces.get(namespace);
    if (!record) {
      const details = { name: namespace, kind: 'namespaces' };
      return new ApiError('NotFound', `namespaces "${namespace}" not found`, details);
    }
    if (record.object.metadata.deletionTimestamp === undefined) return undefined;
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    const message = `namespace ${namespace} is being terminated`;
    const causes = [{ reason: 'NamespaceTerminating', message, field: 'metadata.namespace' }];
    return forbidden(def, object.metadata.name, why, causes);
  }

  /** Throws 400 on a version that is none, 504 on one of the future. */
  checkVersion(text: string | undefined): void {
    const version = parseVersion(text);
    if (version !== undefined && version > this.store.resourceVersion) {
      throw tooLargeVersion(version, this.store.resourceVersion);
    }
  }

  /** Refuses with `error`, but only once what it is based on is durable. */
  async refuse(table: Table, error: ApiError): Promise<never> {
    const kept = await this.store.durable(table.lastWrite);
    if (kept === false) {
      throw new ApiError(
        'ServiceUnavailable',
        'The store could not keep a write that this request depends on.',
      );
    }
    throw error;
  }

  async settled(table: Table, record: StoredRecord): Promise<void> {
    const kept = await this.store.durable(record.resourceVersion);
    if (kept === false) {
      throw new ApiError('ServiceUnavailable', `The store could not keep ${table.name} ${record.key}.`);
    }
  }
}

/** Undefined for an absent version. Throws 400 for text that is not one. */
export function parseVersion(text: string | undefined): number | undefined {
  if (!text) return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(text)}: must be a number`);
  return Number(text);
}

/** An object that is not stored as it stands: a dry run, a Scale. Its JSON is made when asked for. */
export function served(object: KubeObject): Served {
  let bytes: Buffer | undefined;
  return {
    object: deepFreeze(object),
    get bytes() {
      bytes ??= Buffer.from(JSON.stringify(object));
      return bytes;
    },
  };
}
