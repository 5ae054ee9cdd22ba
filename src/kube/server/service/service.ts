/**
 * What the API server means, without HTTP: reads, watches and writes of every registered resource by Kubernetes' rules.
 * One rule holds it together: between looking at the stored object and handing the new one to the store nothing is
 * awaited, so no two writes ever see the same version.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import { deepEqual } from '../../../base/json.ts';
import { randomSuffix } from '../../../base/names.ts';
import { timestamp, type KubeObject, type ObjectMeta, type UntypedObject } from '../../../api/object.ts';
import type { Issue, ResourceDef } from '../../../api/resource.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError } from '../../api-error.ts';
import { objectKey, type ObjectKey } from '../../client/client.ts';
import type { StoredRecord } from '../../store/record.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { admit, applySchema, copyInput, readObject } from './admission.ts';
import { decideDeletion, isNamespace, namespaceHeld } from './deletion.ts';
import { alreadyExists, asApiError, badRequest, conflict, modified } from './errors.ts';
import { keepServerMetadata, nothingKeeps } from './metadata.ts';
import { applyPatch, checkPatchType } from './patch/apply.ts';
import { checkPlace, checkSubresource, keyIn, placeInNamespace, scalePaths } from './place.ts';
import { Queries } from './queries.ts';
import { Reads, served } from './reads.ts';
import type {
  DeleteRequest,
  DeleteResult,
  GetRequest,
  ListRequest,
  ListResult,
  PatchRequest,
  Served,
  WatchRequest,
  WriteRequest,
  WriteResult,
} from './requests.ts';
import { applyScale, readScale } from './scale.ts';
import type { WatchStream } from './watch.ts';
import { generationAfter, resetStatus, withSubresource } from './writes.ts';

export interface ApiServiceOptions {
  readonly store: Store;
  readonly resources: readonly ResourceDef[];
  readonly clock: Clock;
}

export class ApiService {
  readonly resources: readonly ResourceDef[];
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #reads: Reads;
  readonly #queries: Queries;
  readonly #namespaces: Table | undefined;

  /** What admission may look at: the newest objects, durable or not, as the write that follows comes after them. */
  readonly #view = <T extends KubeObject>(def: ResourceDef<T>): T[] =>
    this.#reads
      .table(def)
      .records()
      .map((record) => record.object as T);

  constructor(options: ApiServiceOptions) {
    this.resources = options.resources;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#reads = new Reads(options.store);
    this.#queries = new Queries(this.#reads, options.clock);
    const namespaces = options.resources.find(isNamespace);
    this.#namespaces = namespaces && this.#reads.table(namespaces);
  }

  /** The newest durable version of the whole store. */
  get resourceVersion(): string {
    return String(this.#store.resourceVersion);
  }

  /** 404 when there is none, 504 for a `resourceVersion` of the future. */
  get(def: ResourceDef, key: ObjectKey, request: GetRequest = {}): Promise<Served> {
    return this.#queries.get(def, key, request);
  }

  /** In key order. With `limit`, `continue` gives the following pages of the same moment for five minutes, then 410. */
  list(def: ResourceDef, request: ListRequest = {}): Promise<ListResult> {
    return this.#queries.list(def, request);
  }

  /**
   * Starts a watch: resolves once the stream is attached, so that every later write is seen. Throws 410 when the version
   * asked for is too old; the stream throws 410 when its reader falls too far behind.
   */
  watch(def: ResourceDef, request: WatchRequest = {}): Promise<WatchStream> {
    return this.#queries.watch(def, request);
  }

  /** `namespace` is that of the path; the object may leave its own out. */
  async create(
    def: ResourceDef,
    namespace: string | undefined,
    body: unknown,
    request: WriteRequest,
  ): Promise<WriteResult> {
    const object = readObject(def, body);
    placeInNamespace(def, object, namespace);
    const meta = object.metadata;
    if (meta.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
    const warnings = applySchema(def, object, request.fieldValidation ?? 'Warn');
    const namespaces = this.#namespaces;
    const refusal = namespaces && this.#reads.namespaceRefusal(namespaces, def, object);
    if (refusal) return this.#reads.refuse(namespaces, refusal);
    const table = this.#reads.table(def);
    if (!meta.name && meta.generateName) meta.name = this.#generateName(def, table, meta);
    const now = this.#clock.now();
    for (const field of [
      'deletionTimestamp',
      'deletionGracePeriodSeconds',
      'managedFields',
      'generation',
    ] as const) {
      delete meta[field];
    }
    meta.uid = randomUUID();
    meta.creationTimestamp = timestamp(now);
    if (def.tracksGeneration !== false) meta.generation = 1;
    resetStatus(def, object);
    const context = {
      operation: 'CREATE',
      user: request.user,
      dryRun: request.dryRun ?? false,
      now,
      stored: this.#view,
    } as const;
    admit(def, object, context, []);
    const key = keyIn(def, meta);
    if (table.get(key)) return this.#reads.refuse(table, alreadyExists(def, meta.name));
    if (request.dryRun) return { ...served(object), warnings };
    return this.#stored(this.#store.put(table, key, object), warnings);
  }

  /** As in Kubernetes a generated name that is taken is drawn again a few times. */
  #generateName(def: ResourceDef, table: Table, meta: ObjectMeta): string {
    let name = '';
    for (let attempt = 0; attempt < 8; attempt++) {
      name = `${meta.generateName?.slice(0, 58) ?? ''}${randomSuffix()}`;
      if (!table.get(keyIn(def, { ...meta, name }))) break;
    }
    return name;
  }

  async update(def: ResourceDef, key: ObjectKey, body: unknown, request: WriteRequest): Promise<WriteResult> {
    const found = this.#reads.current(def, key);
    if (!found) return this.#reads.missing(def, key);
    const { table, current } = found;
    if (request.subresource === 'scale') return this.#updateScale(def, table, current, body, request);
    const object = readObject(def, body);
    checkPlace(def, key, object);
    return this.#replace(def, table, current, object, request, false);
  }

  async patch(
    def: ResourceDef,
    key: ObjectKey,
    patch: PatchRequest,
    request: WriteRequest,
  ): Promise<WriteResult> {
    checkPatchType(def, patch, request.subresource);
    const found = this.#reads.current(def, key);
    if (!found) return this.#reads.missing(def, key);
    const { table, current } = found;
    if (request.subresource === 'scale') {
      const patched = applyPatch(def, readScale(scalePaths(def), current.object), patch);
      return this.#updateScale(def, table, current, patched, request);
    }
    const object = readObject(def, applyPatch(def, current.object, patch));
    checkPlace(def, key, object);
    return this.#replace(def, table, current, object, request, true);
  }

  async delete(def: ResourceDef, key: ObjectKey, request: DeleteRequest): Promise<DeleteResult> {
    const found = this.#reads.current(def, key);
    if (!found) return this.#reads.missing(def, key);
    const { table, current } = found;
    const { preconditions } = request;
    const { uid, resourceVersion } = current.object.metadata;
    const violated =
      preconditions?.uid !== undefined && preconditions.uid !== uid
        ? `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`
        : preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion
          ? `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`
          : undefined;
    if (violated) return this.#reads.refuse(table, conflict(def, key.name, violated));
    const decision = decideDeletion(def, current.object, request, this.#clock.now());
    if (decision.action === 'keep') {
      await this.#reads.settled(table, current);
      return { object: current.object, bytes: current.bytes, removed: false };
    }
    const removed = decision.action === 'remove';
    const object: UntypedObject = {
      ...(current.object as UntypedObject),
      metadata: removed ? { ...current.object.metadata } : decision.metadata,
    };
    if (!removed && isNamespace(def))
      object['status'] = { ...asMembers(object['status']), phase: 'Terminating' };
    if (request.dryRun) return { ...served(object), removed };
    const write = removed
      ? this.#store.remove(table, current.key, object)
      : this.#store.put(table, current.key, object);
    const record = await write.catch(rethrow);
    return { object: record.object, bytes: record.bytes, removed };
  }

  /** Deletes what the list selects, one by one as in Kubernetes, and gives the objects as they were. */
  async deleteCollection(def: ResourceDef, list: ListRequest, request: DeleteRequest): Promise<ListResult> {
    const found = await this.list(def, list);
    const outcomes = await Promise.allSettled(
      found.records.map(({ object }) => {
        const { uid } = object.metadata;
        const preconditions = { ...request.preconditions, ...(uid ? { uid } : {}) };
        return this.delete(def, objectKey(object), { ...request, preconditions });
      }),
    );
    for (const outcome of outcomes) {
      if (outcome.status !== 'rejected') continue;
      const error: unknown = outcome.reason;
      // Someone else deleted it first: the aim is reached.
      if (error instanceof ApiError && (error.reason === 'NotFound' || error.reason === 'Conflict')) continue;
      throw error;
    }
    return found;
  }

  async #replace(
    def: ResourceDef,
    table: Table,
    current: StoredRecord,
    object: UntypedObject,
    request: WriteRequest,
    unconditional: boolean,
  ): Promise<WriteResult> {
    const { subresource } = request;
    if (subresource) checkSubresource(def, subresource);
    const stored = current.object as UntypedObject;
    const { name } = stored.metadata;
    const meta = object.metadata;
    if (meta.uid && meta.uid !== stored.metadata.uid) {
      const why = `Precondition failed: UID in precondition: ${meta.uid}, UID in object meta: ${stored.metadata.uid}`;
      return this.#reads.refuse(table, conflict(def, name, why));
    }
    if (meta.resourceVersion && meta.resourceVersion !== stored.metadata.resourceVersion) {
      return this.#reads.refuse(table, modified(def, name));
    }
    const issues: Issue[] = [];
    if (!meta.resourceVersion && !unconditional && !def.builtin) {
      issues.push({
        type: 'Invalid',
        path: 'metadata.resourceVersion',
        value: 0,
        detail: 'must be specified for an update',
      });
    }
    const warnings = applySchema(def, object, request.fieldValidation ?? 'Warn');
    const next = withSubresource(def, stored, object, subresource);
    issues.push(...keepServerMetadata(next.metadata, stored.metadata));
    const now = this.#clock.now();
    const context = {
      operation: 'UPDATE',
      old: stored,
      user: request.user,
      dryRun: request.dryRun ?? false,
      now,
      stored: this.#view,
      ...(subresource ? { subresource } : {}),
    } as const;
    admit(def, next, context, issues);
    return this.#finish(def, table, current, next, request, warnings);
  }

  #finish(
    def: ResourceDef,
    table: Table,
    current: StoredRecord,
    next: UntypedObject,
    request: WriteRequest,
    warnings: readonly string[],
  ): Promise<WriteResult> | WriteResult {
    const generation = generationAfter(def, current.object as UntypedObject, next);
    if (generation !== undefined) next.metadata.generation = generation;
    const gone = nothingKeeps(next) && !namespaceHeld(def, next);
    if (!gone && deepEqual(next, current.object)) return this.#unchanged(table, current, warnings);
    if (request.dryRun) return { ...served(next), warnings, ...(gone ? { removed: true } : {}) };
    if (!gone) return this.#stored(this.#store.put(table, current.key, next), warnings);
    return this.#stored(this.#store.remove(table, current.key, next), warnings, true);
  }

  async #updateScale(
    def: ResourceDef,
    table: Table,
    current: StoredRecord,
    body: unknown,
    request: WriteRequest,
  ): Promise<WriteResult> {
    const paths = scalePaths(def);
    const wanted = isMembers(body) && isMembers(body['metadata']) ? body['metadata'] : {};
    const { name, resourceVersion, uid } = current.object.metadata;
    if (
      (wanted['resourceVersion'] && wanted['resourceVersion'] !== resourceVersion) ||
      (wanted['uid'] && wanted['uid'] !== uid)
    ) {
      return this.#reads.refuse(table, modified(def, name));
    }
    const next = copyInput(applyScale(paths, current.object, body)) as UntypedObject;
    const result = await this.#replace(def, table, current, next, request, true);
    return { ...served(readScale(paths, result.object)), warnings: result.warnings };
  }

  async #stored(
    write: Promise<StoredRecord>,
    warnings: readonly string[],
    removed?: boolean,
  ): Promise<WriteResult> {
    const { object, bytes } = await write.catch(rethrow);
    return { object, bytes, warnings, ...(removed ? { removed } : {}) };
  }

  async #unchanged(table: Table, current: StoredRecord, warnings: readonly string[]): Promise<WriteResult> {
    await this.#reads.settled(table, current);
    return { object: current.object, bytes: current.bytes, warnings };
  }
}

function rethrow(error: unknown): never {
  throw asApiError(error);
}

function asMembers(value: unknown): Record<string, unknown> {
  return isMembers(value) ? value : {};
}
