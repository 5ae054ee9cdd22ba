/** Read-only resources that are measured when they are asked for: they can be read and listed, not watched. */
import type { KubeObject } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';
import type { ObjectKey } from '../client/client.ts';
import type { ReadService } from './generated-objects.ts';
import { notFound } from './service/errors.ts';
import type { ListRequest, ListResult, Served } from './service/requests.ts';
import { parseFieldSelector, parseLabelSelector } from './service/selectors.ts';
import { methodNotAllowed } from './status.ts';

/** Verbs of such resources. */
export const measuredVerbs = ['get', 'list'];

export class MeasuredObjects implements ReadService {
  readonly #measure: () => Promise<readonly KubeObject[]>;

  constructor(measure: () => Promise<readonly KubeObject[]>) {
    this.#measure = measure;
  }

  async get(def: ResourceDef, key: ObjectKey): Promise<Served> {
    const found = (await this.#measure()).find(
      ({ metadata }) => metadata.name === key.name && metadata.namespace === key.namespace,
    );
    if (!found) throw notFound(def, key.namespace ? `${key.namespace}/${key.name}` : key.name);
    return served(found);
  }

  async list(def: ResourceDef, request: ListRequest): Promise<ListResult> {
    const labels = parseLabelSelector(request.labelSelector);
    const fields = parseFieldSelector(request.fieldSelector, def);
    const records = (await this.#measure())
      .filter(
        (object) =>
          (request.namespace === undefined || object.metadata.namespace === request.namespace) &&
          (labels?.(object) ?? true) &&
          (fields?.matches(object) ?? true),
      )
      .map(served);
    return { records, resourceVersion: '' };
  }

  watch(): Promise<never> {
    return Promise.reject(methodNotAllowed());
  }
}

function served(object: KubeObject): Served {
  return { object, bytes: Buffer.from(JSON.stringify(object)) };
}
