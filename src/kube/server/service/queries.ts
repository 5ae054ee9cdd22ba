/** The reading half of the API service: get, list with pages, watch. */
import type { Clock } from '../../../base/clock.ts';
import { apiVersionOf, qualifiedName, type ResourceDef } from '../../../api/resource.ts';
import type { ObjectKey } from '../../client/client.ts';
import type { StoredRecord } from '../../store/record.ts';
import { badRequest } from './errors.ts';
import { Snapshots } from './paging.ts';
import { checkSubresource, scalePaths } from './place.ts';
import { parseVersion, served, type Reads } from './reads.ts';
import type { GetRequest, ListRequest, ListResult, Served, ServedEvents, WatchRequest } from './requests.ts';
import { readScale } from './scale.ts';
import { parseFieldSelector, parseLabelSelector } from './selectors.ts';
import { VersionCache } from './versions.ts';
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
    const matching =
      labels || fields
        ? rest.filter(({ object }) => (labels?.(object) ?? true) && (fields?.matches(object) ?? true))
        : rest;
    const resourceVersion = String(version);
    const first = page(matching, resourceVersion, 0, limit, selective, (at) =>
      this.#snapshots.keep({ question, records: matching, resourceVersion })(at),
    );
    return this.#shown(def, first);
  }

  /** A page in the version that was asked for. */
  async #shown(def: ResourceDef, result: ListResult): Promise<ListResult> {
    return def.conversion ? { ...result, records: await this.#versions.all(def, result.records) } : result;
  }

  async watch(def: ResourceDef, request: WatchRequest = {}): Promise<ServedEvents> {
    const stream = await this.#watch(def, request);
    return def.conversion ? this.#versions.events(def, stream) : stream;
  }

  async #watch(def: ResourceDef, request: WatchRequest): Promise<WatchStream> {
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
