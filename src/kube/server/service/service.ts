/**
 * What the API server means, without HTTP: reads, watches and writes of every registered resource by Kubernetes' rules.
 * One rule holds it together: between looking at the stored object and handing the new one to the store nothing is
 * awaited, so no two writes ever see the same version.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import { deepEqual, deepFreeze } from '../../../base/json.ts';
import { randomSuffix } from '../../../base/names.ts';
import { timestamp, type KubeObject, type ObjectMeta, type UntypedObject } from '../../../api/object.ts';
import { apiVersionOf, qualifiedName, type Issue, type ResourceDef } from '../../../api/resource.ts';
import { resourceSchema } from '../../../api/structural.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import type { StoredRecord } from '../../store/record.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { admit, applySchema, copyInput, readObject } from './admission.ts';
import { decideDeletion, isNamespace, namespaceHeld } from './deletion.ts';
import {
  alreadyExists,
  asApiError,
  badRequest,
  conflict,
  expired,
  forbidden,
  modified,
  notFound,
  tooLargeVersion,
} from './errors.ts';
import { keepServerMetadata, nothingKeeps } from './metadata.ts';
import { Snapshots } from './paging.ts';
import { jsonPatch } from './patch/json.ts';
import { mergePatch } from './patch/merge.ts';
import { strategicMergePatch } from './patch/strategic.ts';
import type {
  DeleteRequest,
  DeleteResult,
  GetRequest,
  ListRequest,
  ListResult,
  ObjectSubresource,
  PatchRequest,
  Served,
  WatchRequest,
  WriteRequest,
  WriteResult,
} from './requests.ts';
import { applyScale, readScale } from './scale.ts';
import { parseFieldSelector, parseLabelSelector } from './selectors.ts';
import { WatchStream } from './watch.ts';
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
  readonly #snapshots: Snapshots;
  readonly #namespaces: Table | undefined;

  constructor(options: ApiServiceOptions) {
    this.resources = options.resources;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#snapshots = new Snapshots(options.clock);
    const namespaces = options.resources.find(isNamespace);
    this.#namespaces = namespaces && this.#table(namespaces);
  }

  /** The newest durable version of the whole store. */
  get resourceVersion(): string {
    return String(this.#store.resourceVersion);
  }

  /** 404 when there is none, 504 for a `resourceVersion` of the future. */
  async get(def: ResourceDef, key: ObjectKey, request: GetRequest = {}): Promise<Served> {
    this.#checkVersion(request.resourceVersion);
    const record = await this.#read(def, key);
    if (request.subresource !== 'scale') {
      if (request.subresource) checkSubresource(def, request.subresource);
      return record;
    }
    return served(readScale(scalePaths(def), record.object));
  }

  async list(def: ResourceDef, request: ListRequest = {}): Promise<ListResult> {
    const fields = parseFieldSelector(request.fieldSelector, def);
    const labels = parseLabelSelector(request.labelSelector);
    const namespace = (def.namespaced && request.namespace) || fields?.namespace;
    const question = JSON.stringify([
      qualifiedName(def),
      request.namespace ?? '',
      request.labelSelector ?? '',
      request.fieldSelector ?? '',
    ]);
    const limit = request.limit && request.limit > 0 ? request.limit : Number.POSITIVE_INFINITY;
    const selective = Boolean(fields ?? labels);
    if (request.continue) {
      if (request.resourceVersion && request.resourceVersion !== '0') {
        throw badRequest('specifying resource version is not allowed when using continue');
      }
      const { snapshot, offset, next } = this.#snapshots.resume(request.continue, question);
      return page(snapshot.records, snapshot.resourceVersion, offset, limit, selective, next);
    }
    this.#checkVersion(request.resourceVersion, request.resourceVersionMatch);
    const name = fields?.name;
    const { records, version } = await this.#snapshot(def, namespace, name);
    if (request.resourceVersionMatch === 'Exact' && Number(request.resourceVersion) !== version) {
      throw expired(`The resourceVersion for the provided list is too old: ${request.resourceVersion}`);
    }
    const matching =
      labels || fields
        ? records.filter(({ object }) => (labels?.(object) ?? true) && (fields?.matches(object) ?? true))
        : records;
    const resourceVersion = String(version);
    let token: string | undefined;
    return page(matching, resourceVersion, 0, limit, selective, (at) => {
      token ??= this.#snapshots.keep({ question, records: matching, resourceVersion }, at);
      return token;
    });
  }

  /**
   * Starts a watch: resolves once the stream is attached, so that every later write is seen. Throws 410 when the version
   * asked for is too old; the stream throws 410 when its reader falls too far behind.
   */
  async watch(def: ResourceDef, request: WatchRequest = {}): Promise<WatchStream> {
    const fields = parseFieldSelector(request.fieldSelector, def);
    const labels = parseLabelSelector(request.labelSelector);
    const namespace = (def.namespaced && request.namespace) || undefined;
    const prefix = namespace && `${namespace}/`;
    const filter =
      labels || fields || prefix
        ? (record: StoredRecord): boolean =>
            (!prefix || record.key.startsWith(prefix)) &&
            (labels?.(record.object) ?? true) &&
            (fields?.matches(record.object) ?? true)
        : undefined;
    const asked = parseVersion(request.resourceVersion);
    const fromNow = asked === undefined || asked === 0 || request.sendInitialEvents === true;
    if (request.sendInitialEvents) this.#checkVersion(request.resourceVersion);
    const wantsInitial = fromNow && request.sendInitialEvents !== false;
    const state = fromNow ? await this.#snapshot(def, namespace, undefined) : undefined;
    const records = wantsInitial ? (state?.records ?? []) : [];
    return new WatchStream({
      store: this.#store,
      table: this.#table(def),
      clock: this.#clock,
      apiVersion: apiVersionOf(def),
      kind: def.kind,
      filter,
      after: state?.version ?? asked ?? 0,
      initial: filter ? records.filter(filter) : records,
      markInitialEnd: request.sendInitialEvents === true,
      bookmarks: request.allowBookmarks === true,
      timeoutMs: request.timeoutMs,
      signal: request.signal,
    });
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
    await this.#checkNamespace(def, object);
    const table = this.#table(def);
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
    } as const;
    admit(def, object, context, []);
    const key = keyIn(def, meta);
    if (table.get(key)) return this.#refuse(table, alreadyExists(def, meta.name));
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
    const { table, current } = await this.#current(def, key);
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
    if (patch.type === 'apply') {
      throw new ApiError(
        'UnsupportedMediaType',
        'server-side apply is not served; apply without --server-side (application/apply-patch+yaml is not accepted)',
      );
    }
    if (patch.type === 'strategic' && !def.builtin) {
      throw new ApiError(
        'UnsupportedMediaType',
        'the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json',
      );
    }
    const { table, current } = await this.#current(def, key);
    if (request.subresource === 'scale') {
      if (patch.type === 'strategic')
        throw new ApiError('UnsupportedMediaType', 'a Scale takes a JSON or merge patch');
      const scale = readScale(scalePaths(def), current.object);
      const patched = patch.type === 'json' ? jsonPatch(scale, patch.body) : mergeInto(scale, patch.body);
      return this.#updateScale(def, table, current, patched, request);
    }
    const object = readObject(def, applyPatch(def, current.object, patch));
    checkPlace(def, key, object);
    return this.#replace(def, table, current, object, request, true);
  }

  async delete(def: ResourceDef, key: ObjectKey, request: DeleteRequest): Promise<DeleteResult> {
    const { table, current } = await this.#current(def, key);
    const { preconditions } = request;
    const { uid, resourceVersion } = current.object.metadata;
    const violated =
      preconditions?.uid !== undefined && preconditions.uid !== uid
        ? `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`
        : preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion
          ? `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`
          : undefined;
    if (violated) return this.#refuse(table, conflict(def, key.name, violated));
    const decision = decideDeletion(def, current.object, request, this.#clock.now());
    if (decision.action === 'keep') {
      await this.#settled(table, current);
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
      found.records.map(({ object: { metadata } }) =>
        this.delete(def, keyOfMeta(metadata), {
          ...request,
          preconditions: { ...request.preconditions, ...(metadata.uid ? { uid: metadata.uid } : {}) },
        }),
      ),
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

  // ---- writes ------------------------------------------------------------------------------------------------

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
      return this.#refuse(table, conflict(def, name, why));
    }
    if (meta.resourceVersion && meta.resourceVersion !== stored.metadata.resourceVersion) {
      return this.#refuse(table, modified(def, name));
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
      return this.#refuse(table, modified(def, name));
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
    await this.#settled(table, current);
    return { object: current.object, bytes: current.bytes, warnings };
  }

  // ---- reads -------------------------------------------------------------------------------------------------

  #table(def: ResourceDef): Table {
    return this.#store.table(qualifiedName(def));
  }

  /** The object as of now, once it is durable. */
  async #read(def: ResourceDef, key: ObjectKey): Promise<StoredRecord> {
    const table = this.#table(def);
    for (;;) {
      const record = table.get(keyIn(def, key));
      // Absence may be due to a removal that is not durable yet.
      const kept = await this.#store.durable(record?.resourceVersion ?? table.lastWrite);
      if (kept === false) continue;
      if (record) return record;
      throw notFound(def, key.name);
    }
  }

  /** All objects as of one version, once that is durable. */
  async #snapshot(
    def: ResourceDef,
    namespace: string | undefined,
    name: string | undefined,
  ): Promise<{ records: readonly StoredRecord[]; version: number }> {
    const table = this.#table(def);
    for (;;) {
      let records: readonly StoredRecord[];
      if (name !== undefined && (namespace || !def.namespaced)) {
        const record = table.get(keyIn(def, { name, ...(namespace ? { namespace } : {}) }));
        records = record ? [record] : [];
      } else {
        records = table.records(def.namespaced ? namespace : undefined);
      }
      const version = Math.max(table.lastWrite, this.#store.resourceVersion);
      const kept = await this.#store.durable(table.lastWrite);
      if (kept !== false) return { records, version };
    }
  }

  /** The object that a write starts from: maybe not durable yet, then neither is what follows from it. */
  async #current(def: ResourceDef, key: ObjectKey): Promise<{ table: Table; current: StoredRecord }> {
    const table = this.#table(def);
    const current = table.get(keyIn(def, key));
    if (!current) return this.#refuse(table, notFound(def, key.name));
    return { table, current };
  }

  async #checkNamespace(def: ResourceDef, object: KubeObject): Promise<void> {
    const { namespace } = object.metadata;
    const namespaces = this.#namespaces;
    if (!def.namespaced || !namespaces || !namespace) return;
    const record = namespaces.get(namespace);
    if (!record) {
      const error = new ApiError('NotFound', `namespaces "${namespace}" not found`, {
        name: namespace,
        kind: 'namespaces',
      });
      return this.#refuse(namespaces, error);
    }
    if (record.object.metadata.deletionTimestamp === undefined) return;
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    const causes = [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ];
    return this.#refuse(namespaces, forbidden(def, object.metadata.name, why, causes));
  }

  #checkVersion(text: string | undefined, match?: string): void {
    if (match !== undefined && !text) {
      throw badRequest('resourceVersionMatch is forbidden unless resourceVersion is provided');
    }
    if (match !== undefined && match !== 'Exact' && match !== 'NotOlderThan') {
      throw badRequest(
        `resourceVersionMatch: Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan"`,
      );
    }
    const version = parseVersion(text);
    if (version !== undefined && version > this.#store.resourceVersion) {
      throw tooLargeVersion(version, this.#store.resourceVersion);
    }
  }

  /** Refuses with `error`, but only once what it is based on is durable. */
  async #refuse(table: Table, error: ApiError): Promise<never> {
    const kept = await this.#store.durable(table.lastWrite);
    if (kept === false) {
      throw new ApiError(
        'ServiceUnavailable',
        'The store could not keep a write that this request depends on.',
      );
    }
    throw error;
  }

  async #settled(table: Table, record: StoredRecord): Promise<void> {
    const kept = await this.#store.durable(record.resourceVersion);
    if (kept === false) {
      throw new ApiError('ServiceUnavailable', `The store could not keep ${table.name} ${record.key}.`);
    }
  }
}

function rethrow(error: unknown): never {
  throw asApiError(error);
}

function asMembers(value: unknown): Record<string, unknown> {
  return isMembers(value) ? value : {};
}

function served(object: KubeObject): Served {
  let bytes: Buffer | undefined;
  return {
    object: deepFreeze(object),
    get bytes() {
      bytes ??= Buffer.from(JSON.stringify(object));
      return bytes;
    },
  };
}

function keyOfMeta(metadata: { name: string; namespace?: string }): ObjectKey {
  return { name: metadata.name, ...(metadata.namespace ? { namespace: metadata.namespace } : {}) };
}

function keyIn(def: ResourceDef, key: { readonly name: string; readonly namespace?: string }): string {
  return def.namespaced ? `${key.namespace ?? ''}/${key.name}` : key.name;
}

function parseVersion(text: string | undefined): number | undefined {
  if (!text) return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(text)}: must be a number`);
  return Number(text);
}

function scalePaths(def: ResourceDef): NonNullable<NonNullable<ResourceDef['subresources']>['scale']> {
  const paths = def.subresources?.scale;
  if (!paths) throw new ApiError('NotFound', 'the server could not find the requested resource');
  return paths;
}

function checkSubresource(def: ResourceDef, subresource: ObjectSubresource): void {
  const exists =
    subresource === 'status'
      ? def.subresources?.status === true
      : subresource === 'scale'
        ? def.subresources?.scale !== undefined
        : isNamespace(def);
  if (!exists) throw new ApiError('NotFound', 'the server could not find the requested resource');
}

function placeInNamespace(def: ResourceDef, object: KubeObject, namespace: string | undefined): void {
  const meta = object.metadata;
  if (!def.namespaced) {
    delete meta.namespace;
    return;
  }
  if (!namespace && !meta.namespace) {
    throw badRequest('an empty namespace may not be set during creation');
  }
  if (namespace && meta.namespace && meta.namespace !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  meta.namespace = namespace ?? meta.namespace ?? '';
}

/** A PUT or the outcome of a PATCH must stay where the path says. */
function checkPlace(def: ResourceDef, key: ObjectKey, object: KubeObject): void {
  const meta = object.metadata;
  if (meta.name && meta.name !== key.name) {
    throw badRequest(
      `the name of the object (${meta.name}) does not match the name on the URL (${key.name})`,
    );
  }
  meta.name = key.name;
  placeInNamespace(def, object, key.namespace);
}

function mergeInto(target: unknown, body: unknown): unknown {
  if (!isMembers(body))
    throw badRequest(
      'error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}',
    );
  return mergePatch(target, body);
}

function applyPatch(def: ResourceDef, target: KubeObject, patch: PatchRequest): unknown {
  switch (patch.type) {
    case 'json':
      return jsonPatch(target, patch.body);
    case 'strategic':
      return strategicMergePatch(resourceSchema(def), target, patch.body);
    default:
      return mergeInto(target, patch.body);
  }
}

function page(
  records: readonly Served[],
  resourceVersion: string,
  offset: number,
  limit: number,
  selective: boolean,
  token: (offset: number) => string,
): ListResult {
  const end = offset + limit;
  if (end >= records.length) {
    return { records: offset === 0 ? records : records.slice(offset), resourceVersion };
  }
  return {
    records: records.slice(offset, end),
    resourceVersion,
    continue: token(end),
    ...(selective ? {} : { remainingItemCount: records.length - end }),
  };
}
