/**
 * The write pipeline: from a wanted object, or a change of the stored one, to a durable record. One rule holds it
 * together: between the last look at the store and handing the new object over nothing is awaited, so no two writes ever
 * see the same version. Where a webhook must be asked in between, the look is taken again afterwards.
 */
import type { Clock } from '../../../base/clock.ts';
import { randomSuffix } from '../../../base/names.ts';
import type { KubeObject, ObjectMeta, UntypedObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import type { StoredRecord } from '../../store/record.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { applySchema, check, copyInput, readObject } from './admission.ts';
import { CanonicalObjects } from './canonical.ts';
import { AdmissionChain, type Pending } from './admission-chain.ts';
import type { AdmissionAttributes, AdmissionPlugin, Readmission, WebhookStage } from './admission-plugin.ts';
import { decideDeletion, isNamespace, namespaceHeld } from './deletion.ts';
import { alreadyExists, asApiError, badRequest, conflict, modified } from './errors.ts';
import {
  initialize,
  preconditionFault,
  preconditionViolated,
  restoreIdentity,
  versionIssues,
} from './identity.ts';
import { keepServerMetadata, nothingKeeps } from './metadata.ts';
import {
  entriesAfter,
  equalButTimesOfEntries,
  setManagedFields,
  takeManagedFields,
  type Entries,
} from './ownership/ownership.ts';
import { checkPlace, checkSubresource, keyIn, placeInNamespace } from './place.ts';
import { served, type Reads } from './reads.ts';
import type { DeleteRequest, DeleteResult, WriteRequest, WriteResult } from './requests.ts';
import { forStore, inVersion, inVersionOrAsStored, isForeign } from './versions.ts';
import { generationAfter, resetStatus, withSubresource } from './writes.ts';

export interface WriterOptions {
  readonly store: Store;
  readonly reads: Reads;
  readonly clock: Clock;
  /** The table of namespaces, where those are served. */
  readonly namespaces: Table | undefined;
  readonly plugins: readonly AdmissionPlugin[];
  readonly webhooks: WebhookStage | undefined;
  /** Where cluster IPs come from; undefined for Kubernetes' usual range. */
  readonly serviceRange: string | undefined;
}

/** What a change makes of the stored object. `unconditional`: it needs no resourceVersion to be safe. */
export interface Change {
  readonly object: UntypedObject;
  readonly unconditional: boolean;
  /** Who owns what afterwards, where the change has decided that; otherwise the writer owns what it changed. */
  readonly managers?: Entries;
}

/** What is done to an object through a subresource that stores nothing itself. */
export interface Action {
  readonly operation: 'CREATE' | 'CONNECT';
  readonly subresource: string;
  /** The body, or the options of a stream (`PodExecOptions`), with its own kind. */
  readonly object: UntypedObject;
}

export interface Admitted {
  readonly object: UntypedObject;
  readonly warnings: readonly string[];
}

/** How often a write starts again because the object changed while a webhook was asked. As etcd3 GuaranteedUpdate retries. */
const maxAttempts = 5;

export class Writer {
  readonly #store: Store;
  readonly #reads: Reads;
  readonly #clock: Clock;
  readonly #namespaces: Table | undefined;
  readonly #admission: AdmissionChain;
  readonly #canonical = new CanonicalObjects();

  constructor(options: WriterOptions) {
    this.#store = options.store;
    this.#reads = options.reads;
    this.#clock = options.clock;
    this.#namespaces = options.namespaces;
    this.#admission = new AdmissionChain(options);
  }

  async create(
    def: ResourceDef,
    namespace: string | undefined,
    body: unknown,
    request: WriteRequest,
    managers?: Entries,
  ): Promise<WriteResult> {
    const table = this.#reads.table(def);
    for (let attempt = 1; ; attempt++) {
      let object = readObject(def, body);
      const claimed = takeManagedFields(object);
      placeInNamespace(def, object, namespace);
      const meta = object.metadata;
      const warnings = applySchema(def, object, request.fieldValidation ?? 'Warn', request.bodyFaults);
      const refusal = this.#namespaceRefusal(def, object);
      if (refusal) return refusal;
      if (!meta.name && meta.generateName) meta.name = this.#generateName(def, table, meta);
      const now = this.#clock.now();
      initialize(def, object, now);
      const pending: Pending = {
        operation: 'CREATE',
        subresource: undefined,
        dryRun: request.dryRun ?? false,
        warn: (text) => warnings.push(text),
        now,
        old: undefined,
      };
      const owners = (next: UntypedObject): Entries =>
        managers ?? entriesAfter({ def, stored: undefined, next, claimed, request, now });
      const mutated = this.#admission.mutate(def, object, pending, request, owners);
      if (mutated) {
        const { managedFields } = meta;
        const outcome = await mutated;
        warnings.push(...outcome.warnings);
        object = restoreIdentity(this.#admission.readBack(def, outcome.object), meta);
        resetStatus(def, object);
        this.#admission.prepare(def, object, pending, request);
        setManagedFields(object, managedFields);
      }
      check(def, object, this.#admission.context(pending, request), []);
      const verdict = this.#admission.validate(def, object, pending, request);
      if (verdict) {
        warnings.push(...(await verdict));
        try {
          check(def, object, this.#admission.context(pending, request), []);
        } catch (error) {
          // What was free before the webhooks were asked (an address, a port) is taken now: draw again.
          if (attempt < maxAttempts) continue;
          throw error;
        }
      }
      const kept = forStore(def, object);
      const record = kept instanceof Promise ? await kept : kept;
      const asked = Boolean(mutated ?? verdict) || kept instanceof Promise;
      const late = asked ? this.#namespaceRefusal(def, object) : undefined;
      if (late) return late;
      // Not before admission has had its say, as in Kubernetes.
      if (meta.resourceVersion)
        throw badRequest('resourceVersion should not be set on objects to be created');
      const key = keyIn(def, object.metadata);
      if (table.get(key)) return this.#reads.refuse(table, alreadyExists(def, object.metadata.name));
      this.#admission.validateInProcess(def, object, pending, request);
      if (request.dryRun) return { ...served(object), warnings };
      return this.#stored(this.#store.put(table, key, record), object, warnings);
    }
  }

  /**
   * Stores what `change` makes of the current object; it is asked again when that has changed meanwhile. It refuses by
   * throwing an ApiError, or by giving one: then the refusal waits until what it rests on is durable.
   */
  async change(
    def: ResourceDef,
    key: ObjectKey,
    request: WriteRequest,
    change: (stored: UntypedObject) => Change | ApiError,
  ): Promise<WriteResult> {
    const { subresource } = request;
    for (let attempt = 1; ; attempt++) {
      const found = this.#reads.current(def, key);
      if (!found) return this.#reads.missing(def, key);
      const { table, current } = found;
      const before = inVersion(def, current.object as UntypedObject);
      const stored = this.#canonical.of(def, before instanceof Promise ? await before : before);
      const wanted = change(stored);
      if (wanted instanceof ApiError) return this.#reads.refuse(table, wanted);
      const { object, unconditional, managers } = wanted;
      const claimed = takeManagedFields(object);
      checkPlace(def, key, object);
      if (subresource) checkSubresource(def, subresource);
      const refusal = preconditionFault(def, object.metadata, stored.metadata);
      if (refusal) return this.#reads.refuse(table, refusal);
      const issues = versionIssues(def, object.metadata, unconditional);
      const warnings = applySchema(def, object, request.fieldValidation ?? 'Warn', request.bodyFaults);
      let next = withSubresource(def, stored, object, subresource);
      issues.push(...keepServerMetadata(next.metadata, stored.metadata));
      const pending: Pending = {
        operation: 'UPDATE',
        subresource,
        dryRun: request.dryRun ?? false,
        warn: (text) => warnings.push(text),
        now: this.#clock.now(),
        old: stored,
      };
      let asked = before instanceof Promise;
      const owners = (owned: UntypedObject): Entries =>
        managers ?? entriesAfter({ def, stored, next: owned, claimed, request, now: pending.now });
      const mutated = this.#admission.mutate(def, next, pending, request, owners);
      if (mutated) {
        asked = true;
        const { managedFields } = next.metadata;
        const outcome = await mutated;
        warnings.push(...outcome.warnings);
        next = withSubresource(def, stored, this.#admission.readBack(def, outcome.object), subresource);
        issues.push(...keepServerMetadata(next.metadata, stored.metadata));
        this.#admission.prepare(def, next, pending, request);
        setManagedFields(next, managedFields);
      }
      check(def, next, this.#admission.context(pending, request), issues);
      const verdict = this.#admission.validate(def, next, pending, request);
      if (verdict) {
        asked = true;
        warnings.push(...(await verdict));
      }
      const generation = generationAfter(def, stored, next);
      if (generation !== undefined) next.metadata.generation = generation;
      const kept = forStore(def, next);
      asked ||= kept instanceof Promise;
      const record = kept instanceof Promise ? await kept : kept;
      if (asked && table.get(current.key) !== current) {
        if (attempt < maxAttempts) continue;
        return this.#reads.refuse(table, modified(def, key.name));
      }
      this.#admission.validateInProcess(def, next, pending, request);
      return this.#finish(def, { table, current, next, record }, request, warnings);
    }
  }

  async delete(def: ResourceDef, key: ObjectKey, request: DeleteRequest): Promise<DeleteResult> {
    for (;;) {
      const found = this.#reads.current(def, key);
      if (!found) return this.#reads.missing(def, key);
      const { table, current } = found;
      const violated = preconditionViolated(request.preconditions, current.object.metadata);
      if (violated) return this.#reads.refuse(table, conflict(def, key.name, violated));
      const converted = inVersionOrAsStored(def, current.object as UntypedObject);
      const old = converted instanceof Promise ? await converted : converted;
      const warnings: string[] = [];
      const pending: Pending = {
        operation: 'DELETE',
        subresource: undefined,
        dryRun: request.dryRun ?? false,
        warn: (text) => warnings.push(text),
        now: this.#clock.now(),
        old,
      };
      const mutated = this.#admission.mutateByWebhooks(def, undefined, pending, request);
      if (mutated) warnings.push(...(await mutated).warnings);
      const verdict = this.#admission.validate(def, undefined, pending, request);
      if (verdict) warnings.push(...(await verdict));
      // Deletion means the object as it is by then; what was asked about must be that.
      const asked = Boolean(mutated ?? verdict) || converted instanceof Promise;
      if (asked && table.get(current.key) !== current) continue;
      this.#admission.validateInProcess(def, undefined, pending, request);
      const result = await this.#remove(def, table, current, request, pending.now);
      const { warning } = def.orphansByDefault ?? {};
      if (warning !== undefined && request.propagationPolicy === undefined) warnings.push(warning);
      if (!isForeign(def, result.object)) return { ...result, warnings };
      const shown = await inVersionOrAsStored(def, result.object as UntypedObject);
      return { ...served(shown), removed: result.removed, warnings };
    }
  }

  /**
   * Lets plugins and webhooks decide about an action on an object that is no write of it: an eviction, a binding, a
   * stream. Gives the action's object as the webhooks leave it, and warnings.
   */
  async admit(def: ResourceDef, key: ObjectKey, action: Action, request: WriteRequest): Promise<Admitted> {
    const warnings: string[] = [];
    const attributes: AdmissionAttributes = {
      ...request,
      ...action,
      def,
      name: key.name,
      namespace: key.namespace,
      dryRun: request.dryRun ?? false,
      warn: (text) => warnings.push(text),
      now: this.#clock.now(),
      old: undefined,
      request,
      stored: this.#admission.view,
      usage: this.#admission.usage,
    };
    const { webhooks } = this.#admission;
    let object = action.object;
    if (webhooks?.concerns('mutating', attributes)) {
      const readmission: Readmission = {
        normalize: (changed) => copyInput(changed) as UntypedObject,
        again: () => undefined,
      };
      const outcome = await webhooks.mutate(attributes, readmission);
      object = outcome.object as UntypedObject;
      warnings.push(...outcome.warnings);
    }
    const decided = { ...attributes, object };
    if (webhooks?.concerns('validating', decided)) warnings.push(...(await webhooks.validate(decided)));
    for (const plugin of this.#admission.plugins) plugin.validate?.(decided);
    return { object, warnings };
  }

  async #remove(
    def: ResourceDef,
    table: Table,
    current: StoredRecord,
    request: DeleteRequest,
    now: number,
  ): Promise<Omit<DeleteResult, 'warnings'>> {
    const decision = decideDeletion(def, current.object, request, now);
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
      object['status'] = {
        ...(isMembers(object['status']) ? object['status'] : {}),
        phase: 'Terminating',
      };
    if (request.dryRun) return { ...served(object), removed };
    const write = removed
      ? this.#store.remove(table, current.key, object)
      : this.#store.put(table, current.key, object);
    const record = await write.catch(rethrow);
    return { object: record.object, bytes: record.bytes, removed };
  }

  /** `next` is the object in the version of the request, `record` as it is stored: mostly the same value. */
  #finish(
    def: ResourceDef,
    change: { table: Table; current: StoredRecord; next: UntypedObject; record: UntypedObject },
    request: WriteRequest,
    warnings: readonly string[],
  ): Promise<WriteResult> | WriteResult {
    const { table, current, next, record } = change;
    const gone = nothingKeeps(next) && !namespaceHeld(def, next);
    if (!gone && equalButTimesOfEntries(record, current.object)) {
      return this.#unchanged(table, current, next, warnings);
    }
    if (request.dryRun) return { ...served(next), warnings, ...(gone ? { removed: true } : {}) };
    if (!gone) return this.#stored(this.#store.put(table, current.key, record), next, warnings);
    return this.#stored(this.#store.remove(table, current.key, record), next, warnings, true);
  }

  async #stored(
    write: Promise<StoredRecord>,
    next: UntypedObject,
    warnings: readonly string[],
    removed?: boolean,
  ): Promise<WriteResult> {
    const { object, bytes } = await write.catch(rethrow);
    this.#canonical.add(object as UntypedObject);
    const more = { warnings, ...(removed ? { removed } : {}) };
    if (object === next) return { object, bytes, ...more };
    const { resourceVersion = '' } = object.metadata;
    return { ...served({ ...next, metadata: { ...next.metadata, resourceVersion } }), ...more };
  }

  async #unchanged(
    table: Table,
    current: StoredRecord,
    next: UntypedObject,
    warnings: readonly string[],
  ): Promise<WriteResult> {
    await this.#reads.settled(table, current);
    if (next.apiVersion !== current.object.apiVersion) return { ...served(next), warnings };
    return { object: current.object, bytes: current.bytes, warnings };
  }

  // ---- creation ----------------------------------------------------------------------------------------------

  #namespaceRefusal(def: ResourceDef, object: KubeObject): Promise<never> | undefined {
    const namespaces = this.#namespaces;
    const refusal = namespaces && this.#reads.namespaceRefusal(namespaces, def, object);
    return refusal && this.#reads.refuse(namespaces, refusal);
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
}

function rethrow(error: unknown): never {
  throw asApiError(error);
}
