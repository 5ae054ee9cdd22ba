/** The reading half of the API service: get, list with pages, watch. */
import type { Clock } from '../../../base/clock.ts';
import type { KubeObject } from '../../../api/object.ts';
import { apiVersionOf, qualifiedName, type ResourceDef } from '../../../api/resource.ts';
import type { ObjectKey } from '../../client/client.ts';
import type { StoredRecord } from '../../store/record.ts';
import { badRequest } from './errors.ts';
import { Snapshots } from './paging.ts';
import { checkSubresource, scalePaths } from './place.ts';
import { parseVersion, served, type Reads } from './reads.ts';
import type { GetRequest, ListRequest, ListResult, Served, ServedEvents, WatchRequest } from './requests.ts';
import { readScale } from './scale.ts';
import { parseFieldSelector, parseLabelSelector, type FieldSelector, type Matcher } from './selectors.ts';
import { mayDiffer, VersionCache } from './versions.ts';
import { WatchStream } from './watch.ts';

/** When a resource stops being served; undefined for one that stays for good. */
export type Lifetime = (def: ResourceDef) => AbortSignal | undefined;

export class Queries {
  readonly #reads: Reads;
  readonly #clock: Clock;
  readonly #snapshots: Snapshots;
  readonly #lifetime: Lifetime;
  readonly #versions = new VersionCache();

  constructor(reads: Reads, clock: Clock, lifetime: Lifetime) {
    this.#lifetime = lifetime;
    this.#reads = reads;
    this.#clock = clock;
    this.#snapshots = new Snapshots(clock);
  }

  async get(def: ResourceDef, key: ObjectKey, request: GetRequest = {}): Promise<Served> {
    this.#reads.checkVersion(request.resourceVersion);
    const record = await this.#versions.one(def, await this.#reads.read(def, key));
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
    if (request.continue && request.resourceVersion && request.resourceVersion !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    const from = request.continue ? this.#snapshots.resume(request.continue, question) : undefined;
    if (from?.kind === 'snapshot') {
      const { records, resourceVersion } = from.snapshot;
      return this.#shown(def, page(records, resourceVersion, from.offset, limit, selective, from.next));
    }
    this.#reads.checkVersion(request.resourceVersion);
    const exact =
      request.resourceVersionMatch === 'Exact' ? parseVersion(request.resourceVersion) : undefined;
    const { records, version } =
      exact !== undefined
        ? await this.#reads.snapshotAt(def, namespace, exact)
        : await this.#reads.snapshot(def, namespace, fields?.name);
    const rest = from ? records.filter(({ key }) => key > from.key) : records;
    const matching = await this.#matching(def, rest, labels, fields);
    const resourceVersion = String(version);
    const first = page(matching, resourceVersion, 0, limit, selective, (at) =>
      this.#snapshots.keep({ question, records: matching, resourceVersion })(at),
    );
    return this.#shown(def, first);
  }

  /** A page in the version that was asked for. */
  async #shown(def: ResourceDef, result: ListResult): Promise<ListResult> {
    return mayDiffer(def) ? { ...result, records: await this.#versions.all(def, result.records) } : result;
  }

  /** A promise only where fields have to be looked for in another version than the stored one. */
  #matching(
    def: ResourceDef,
    records: readonly StoredRecord[],
    labels: Matcher | undefined,
    fields: FieldSelector | undefined,
  ): readonly StoredRecord[] | Promise<readonly StoredRecord[]> {
    const labelled = labels ? records.filter(({ object }) => labels(object)) : records;
    if (!fields) return labelled;
    if (!asShown(def, fields)) return labelled.filter(({ object }) => fields.matches(object));
    const pick = (shown: readonly Served[]): readonly StoredRecord[] =>
      labelled.filter((record, i) => fields.matches(shown[i]?.object ?? record.object));
    const shown = this.#versions.all(def, labelled);
    return shown instanceof Promise ? shown.then(pick) : pick(shown);
  }

  async watch(def: ResourceDef, request: WatchRequest = {}): Promise<ServedEvents> {
    const fields = parseFieldSelector(request.fieldSelector, def);
    const labels = parseLabelSelector(request.labelSelector);
    if (!mayDiffer(def)) return this.#watch(def, request, labels, fields);
    if (!fields || !asShown(def, fields)) {
      return this.#versions.events(def, await this.#watch(def, request, labels, fields));
    }
    const stream = await this.#watch(def, request, undefined, undefined);
    const matches = (object: KubeObject): boolean => (labels?.(object) ?? true) && fields.matches(object);
    return this.#versions.events(def, stream, matches);
  }

  /** The selectors are those that look at objects as they are stored. */
  async #watch(
    def: ResourceDef,
    request: WatchRequest,
    labels: Matcher | undefined,
    fields: FieldSelector | undefined,
  ): Promise<WatchStream> {
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
    if (request.sendInitialEvents) this.#reads.checkVersion(request.resourceVersion);
    const wantsInitial = fromNow && request.sendInitialEvents !== false;
    const state = fromNow ? await this.#reads.snapshot(def, namespace, undefined) : undefined;
    const records = wantsInitial ? (state?.records ?? []) : [];
    const lifetime = this.#lifetime(def);
    const signals = [request.signal, lifetime].filter((signal) => signal !== undefined);
    return new WatchStream({
      store: this.#reads.store,
      table: this.#reads.table(def),
      clock: this.#clock,
      apiVersion: apiVersionOf(def),
      kind: def.kind,
      filter,
      after: state?.version ?? asked ?? 0,
      initial: filter ? records.filter(filter) : records,
      markInitialEnd: request.sendInitialEvents === true,
      bookmarks: request.allowBookmarks === true,
      timeoutMs: request.timeoutMs,
      signal: signals.length > 1 ? AbortSignal.any(signals) : signals[0],
    });
  }
}

/** Whether fields have to be looked for in objects as they are shown: each version of a custom resource has its own. */
function asShown(def: ResourceDef, fields: FieldSelector): boolean {
  return fields.looksInside && !def.builtin && mayDiffer(def);
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
