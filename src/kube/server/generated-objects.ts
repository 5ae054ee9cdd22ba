/** Read-only resources whose objects come from code. A watch shows what exists when it begins. */
import { deepFreeze } from '../../base/json.ts';
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf, type ResourceDef } from '../../api/resource.ts';
import type { ObjectKey } from '../client/client.ts';
import { eventLine } from '../store/record.ts';
import { notFound } from './service/errors.ts';
import type { ListRequest, ListResult, Served, ServedEvent, WatchRequest } from './service/requests.ts';
import { parseFieldSelector, parseLabelSelector } from './service/selectors.ts';

/** The reading part of the API service. */
export interface ReadService {
  get(def: ResourceDef, key: ObjectKey): Promise<Served>;
  list(def: ResourceDef, request: ListRequest): Promise<ListResult>;
  watch(def: ResourceDef, request: WatchRequest): Promise<AsyncIterable<ServedEvent>>;
}

export class GeneratedObjects implements ReadService {
  readonly #make: () => readonly KubeObject[];

  /** `make` is called for each request: the objects are big and seldom asked for, so they are not kept. */
  constructor(make: () => readonly KubeObject[]) {
    this.#make = make;
  }

  get(def: ResourceDef, key: ObjectKey): Promise<Served> {
    const found = this.#make().find((object) => object.metadata.name === key.name);
    return found ? Promise.resolve(served(found)) : Promise.reject(notFound(def, key.name));
  }

  async list(def: ResourceDef, request: ListRequest): Promise<ListResult> {
    return { records: this.#select(def, request), resourceVersion: '1' };
  }

  /** What exists, then silence until the end. */
  async watch(def: ResourceDef, request: WatchRequest): Promise<AsyncIterable<ServedEvent>> {
    const resumes = request.resourceVersion !== undefined && request.resourceVersion !== '0';
    const records = resumes && !request.sendInitialEvents ? [] : this.#select(def, request);
    return streamOf(def, records, request);
  }

  #select(def: ResourceDef, request: ListRequest): Served[] {
    const labels = parseLabelSelector(request.labelSelector);
    const fields = parseFieldSelector(request.fieldSelector, def);
    return this.#make()
      .filter((object) => (labels?.(object) ?? true) && (fields?.matches(object) ?? true))
      .map(served);
  }
}

async function* streamOf(
  def: ResourceDef,
  records: readonly Served[],
  request: WatchRequest,
): AsyncGenerator<ServedEvent> {
  for (const { object, bytes } of records) yield { type: 'ADDED', object, line: eventLine('ADDED', bytes) };
  if (request.sendInitialEvents) yield initialEnd(def);
  const signals = [
    ...(request.signal ? [request.signal] : []),
    ...(request.timeoutMs === undefined ? [] : [AbortSignal.timeout(request.timeoutMs)]),
  ];
  const end = AbortSignal.any(signals);
  if (end.aborted) return;
  await new Promise((resolve) => end.addEventListener('abort', resolve, { once: true }));
}

function initialEnd(def: ResourceDef): ServedEvent {
  const object: KubeObject = {
    kind: def.kind,
    apiVersion: apiVersionOf(def),
    metadata: { name: '', resourceVersion: '1', annotations: { 'k8s.io/initial-events-end': 'true' } },
  };
  return { type: 'BOOKMARK', object, line: eventLine('BOOKMARK', Buffer.from(JSON.stringify(object))) };
}

function served(object: KubeObject): Served {
  return {
    object: deepFreeze(object),
    get bytes() {
      return Buffer.from(JSON.stringify(object));
    },
  };
}
