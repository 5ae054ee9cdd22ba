/** What the API server means, without HTTP: reads, watches and writes of every registered resource by Kubernetes' rules. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../../base/clock.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { resourceSchema } from '../../../api/structural.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError, hasReason } from '../../api-error.ts';
import { objectKey, type ObjectKey } from '../../client/client.ts';
import type { ResourceRegistry } from '../../resource-registry.ts';
import type { Store, StoreSnapshot } from '../../store/store.ts';
import { copyInput, readObject } from './admission.ts';
import { Definitions } from '../definitions/definitions.ts';
import type { AdmissionPlugin, WebhookStage } from './admission-plugin.ts';
import { Applier } from './applier.ts';
import { isNamespace } from './deletion.ts';
import { conflict, misnamed, modified, nameless } from './errors.ts';
import { applyPatch, checkPatchType } from './patch/apply.ts';
import { checkPlace, scalePaths } from './place.ts';
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
  ServedEvents,
  WatchRequest,
  WriteRequest,
  WriteResult,
} from './requests.ts';
import { applyScale, readScale, scaleSchema } from './scale.ts';
import { isCreatedByUpdate } from './storage-rules.ts';
import { Writer, type Action, type Admitted, type Change } from './writer.ts';

export interface ApiServiceOptions {
  readonly store: Store;
  readonly resources: readonly ResourceDef[];
  readonly clock: Clock;
  /** In the order in which they are asked; quota last. */
  readonly plugins?: readonly AdmissionPlugin[];
  readonly webhooks?: WebhookStage;
  /** Where cluster IPs come from, `10.x.0.0/16`. Default: Kubernetes' usual range. */
  readonly serviceRange?: string;
}

/** Objects of a collection that are deleted together, as one commit: some hundredths of a second. */
const deletedAtOnce = 500;

export class ApiService {
  /** What is served now: the resources given, CustomResourceDefinitions, and what those define. */
  readonly registry: ResourceRegistry;
  readonly #store: Store;
  readonly #reads: Reads;
  readonly #queries: Queries;
  readonly #writer: Writer;
  readonly #applier: Applier;

  constructor(options: ApiServiceOptions) {
    const { store, resources, clock, plugins = [], webhooks, serviceRange } = options;
    const definitions = new Definitions({ store, clock, resources });
    this.registry = definitions.registry;
    this.#store = store;
    this.#reads = new Reads(store);
    this.#queries = new Queries(this.#reads, clock, (def) => this.registry.lifetime(def));
    const namespaces = resources.find(isNamespace);
    this.#writer = new Writer({
      store,
      reads: this.#reads,
      clock,
      namespaces: namespaces && this.#reads.table(namespaces),
      plugins: [definitions.plugin, ...plugins],
      webhooks,
      serviceRange,
    });
    this.#applier = new Applier({ reads: this.#reads, writer: this.#writer, clock });
    webhooks?.start?.(this.registry);
    definitions.start(this);
  }

  /** Every version of every resource that is served now. */
  get resources(): readonly ResourceDef[] {
    return this.registry.resources;
  }

  /** The newest durable version of the whole store. */
  get resourceVersion(): string {
    return String(this.#store.resourceVersion);
  }

  /** Everything that is stored, of all resources, as of one durable moment. */
  snapshot(): Promise<StoreSnapshot> {
    return this.#store.snapshot();
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
  watch(def: ResourceDef, request: WatchRequest = {}): Promise<ServedEvents> {
    return this.#queries.watch(def, request);
  }

  /** `namespace` is that of the path; the object may leave its own out. */
  create(
    def: ResourceDef,
    namespace: string | undefined,
    body: unknown,
    request: WriteRequest,
  ): Promise<WriteResult> {
    return this.#writer.create(def, namespace, body, request);
  }

  async update(def: ResourceDef, key: ObjectKey, body: unknown, request: WriteRequest): Promise<WriteResult> {
    if (request.subresource === 'scale') return this.#changeScale(def, key, request, () => body);
    const change = (): Promise<WriteResult> =>
      this.#writer.change(def, key, request, () => {
        const object = readObject(def, body);
        if (!object.metadata.name) throw nameless(key.name);
        return { object, unconditional: false };
      });
    if (request.subresource || !isCreatedByUpdate(def)) return change();
    for (;;) {
      try {
        return await change();
      } catch (error) {
        if (!hasReason(error, 'NotFound')) throw error;
      }
      try {
        return await this.#createByUpdate(def, key, body, request);
      } catch (error) {
        // Someone else made it in between: now there is something to update.
        if (!hasReason(error, 'AlreadyExists')) throw error;
      }
    }
  }

  async #createByUpdate(
    def: ResourceDef,
    key: ObjectKey,
    body: unknown,
    request: WriteRequest,
  ): Promise<WriteResult> {
    request.authorizeCreation?.();
    const object = readObject(def, body);
    checkPlace(def, key, object);
    const { uid } = object.metadata;
    if (uid) {
      const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: `;
      throw conflict(def, key.name, why);
    }
    delete object.metadata.resourceVersion;
    const result = await this.#writer.create(def, key.namespace, object, request);
    return { ...result, created: true };
  }

  async patch(
    def: ResourceDef,
    key: ObjectKey,
    patch: PatchRequest,
    request: WriteRequest,
  ): Promise<WriteResult> {
    checkPatchType(def, patch);
    if (patch.type === 'apply') return this.#applier.apply(def, key, patch.body, request);
    if (request.subresource === 'scale') {
      return this.#changeScale(def, key, request, (scale) => applyPatch(scaleSchema, scale, patch));
    }
    return this.#writer.change(def, key, request, (stored) => ({
      object: readObject(def, applyPatch(resourceSchema(def), stored, patch)),
      unconditional: true,
    }));
  }

  delete(def: ResourceDef, key: ObjectKey, request: DeleteRequest): Promise<DeleteResult> {
    return this.#writer.delete(def, key, request);
  }

  /** Lets admission decide about an action on an object that is no write of it. Throws what it refuses with. */
  admit(def: ResourceDef, key: ObjectKey, action: Action, request: WriteRequest): Promise<Admitted> {
    return this.#writer.admit(def, key, action, request);
  }

  /** Deletes what the list selects, one by one as in Kubernetes, and gives the objects as they were. */
  async deleteCollection(def: ResourceDef, list: ListRequest, request: DeleteRequest): Promise<ListResult> {
    const found = await this.list(def, list);
    for (let at = 0; at < found.records.length; at += deletedAtOnce) {
      // Others are answered in between.
      if (at > 0) await nextTurn();
      await this.#deleteAll(def, found.records.slice(at, at + deletedAtOnce), request);
    }
    return found;
  }

  async #deleteAll(def: ResourceDef, records: readonly Served[], request: DeleteRequest): Promise<void> {
    const outcomes = await Promise.allSettled(
      records.map(({ object }) => {
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
  }

  /** `make` gives the Scale that is wanted, from the one that the stored object shows. */
  async #changeScale(
    def: ResourceDef,
    key: ObjectKey,
    request: WriteRequest,
    make: (scale: unknown) => unknown,
  ): Promise<WriteResult> {
    const paths = scalePaths(def);
    const result = await this.#writer.change(def, key, request, (stored): Change | ApiError => {
      const scale = make(readScale(paths, stored));
      const wanted = isMembers(scale) && isMembers(scale['metadata']) ? scale['metadata'] : {};
      const { name, uid, resourceVersion } = stored.metadata;
      const given = wanted['name'];
      if (typeof given === 'string' && given !== name) throw misnamed(given, name);
      if (
        (wanted['resourceVersion'] && wanted['resourceVersion'] !== resourceVersion) ||
        (wanted['uid'] && wanted['uid'] !== uid)
      ) {
        return modified(def, name);
      }
      return { object: copyInput(applyScale(paths, stored, scale)) as Change['object'], unconditional: true };
    });
    return { ...served(readScale(paths, result.object)), warnings: result.warnings };
  }
}
