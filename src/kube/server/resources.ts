/** The resource API: every verb over every resource, between HTTP and the API service. */
import type { ResourceDef } from '../../api/resource.ts';
import { ApiError } from '../api-error.ts';
import type { ObjectKey } from '../client/client.ts';
import {
  decodeDeleteOptions,
  decodeObject,
  decodePatch,
  isApply,
  readBody,
  type FoundFaults,
} from './body.ts';
import type { ApiCatalog } from './catalog.ts';
import { send, sendDocument, sendPageNotFound, type Exchange } from './exchange.ts';
import type { ReadService } from './generated-objects.ts';
import { sendLogMessages, wantsLogMessages } from './log-messages.ts';
import { logOptions, type LogSource } from './logs.ts';
import { negotiate, objectTransforms, type AnswerForm } from './media-type.ts';
import { deleteOptions, flag, includeObject, listOptions, watchOptions, writeOptions } from './options.ts';
import { isGroupServed, resolveResourcePath, type ResourcePath } from './path.ts';
import { encodeDocument, Presenter } from './present.ts';
import type { Review } from './reviews/index.ts';
import type {
  GetRequest,
  ListRequest,
  ObjectSubresource,
  Served,
  WriteRequest,
  WriteResult,
} from './service/requests.ts';
import type { ApiService } from './service/service.ts';
import { isShownWhenDeleted } from './service/storage-rules.ts';
import { deletedStatus, methodNotAllowed, resourceNotFound } from './status.ts';
import { handlerOf, type SubresourceHandler } from './subresources.ts';
import { eventEncoder, streamText, streamWatch } from './streams.ts';
import { WriteTurns } from './write-turns.ts';
import type { YamlThread } from './yaml/thread.ts';

export interface ResourceApiOptions {
  readonly catalog: ApiCatalog;
  readonly service: ApiService;
  /** Sources of the read-only resources. */
  readonly generated: ReadonlyMap<ResourceDef, ReadService>;
  /** What answers the posted questions that are not kept. */
  readonly reviews: ReadonlyMap<ResourceDef, Review>;
  readonly logs: LogSource | undefined;
  readonly subresources: readonly SubresourceHandler[];
  readonly yaml: YamlThread;
}

interface Target extends Exchange {
  readonly def: ResourceDef;
  readonly namespace: string | undefined;
  readonly subresource: ObjectSubresource | undefined;
}

interface ItemTarget extends Target {
  readonly key: ObjectKey;
}

export class ResourceApi {
  readonly #catalog: ApiCatalog;
  readonly #service: ApiService;
  readonly #generated: ReadonlyMap<ResourceDef, ReadService>;
  readonly #reviews: ReadonlyMap<ResourceDef, Review>;
  readonly #logs: LogSource | undefined;
  readonly #subresources: readonly SubresourceHandler[];
  readonly #presenter: Presenter;
  readonly #turns = new WriteTurns();

  constructor(options: ResourceApiOptions) {
    this.#catalog = options.catalog;
    this.#service = options.service;
    this.#generated = options.generated;
    this.#reviews = options.reviews;
    this.#logs = options.logs;
    this.#subresources = options.subresources;
    this.#presenter = new Presenter(options.yaml);
  }

  /** Answers, or throws an ApiError for the caller to word. */
  async handle(exchange: Exchange): Promise<void> {
    const path = resolveResourcePath(this.#catalog, exchange.segments);
    if (!path || !this.#hasSubresource(path)) {
      if (isGroupServed(this.#catalog, exchange.segments)) throw resourceNotFound();
      return sendPageNotFound(exchange.response);
    }
    const { def, name, namespace, subresource } = path;
    if (this.#generated.has(def) && exchange.method !== 'GET') throw methodNotAllowed();
    const review = this.#reviews.get(def);
    if (review) {
      if (exchange.method !== 'POST' || name !== undefined) throw methodNotAllowed();
      return this.#review(exchange, path, review);
    }
    if (subresource === 'log') return this.#log(exchange, path);
    const action = subresource === undefined ? undefined : handlerOf(this.#subresources, def, subresource);
    if (action && name !== undefined) {
      return action.handle(exchange, { def, key: namespace === undefined ? { name } : { namespace, name } });
    }
    if (def.warning) exchange.response.setHeader('warning', warningHeader(def.warning));
    const target: Target = {
      ...exchange,
      def,
      namespace,
      subresource: subresource as ObjectSubresource | undefined,
    };
    if (name === undefined) return this.#collection(target);
    return this.#item({ ...target, key: namespace === undefined ? { name } : { namespace, name } });
  }

  #hasSubresource({ def, subresource }: ResourcePath): boolean {
    if (subresource === undefined) return true;
    return this.#catalog.subresources(def).some(({ name }) => name === subresource);
  }

  #collection(target: Target): Promise<void> {
    const { method, def, namespace, query } = target;
    const writable = !def.namespaced || namespace !== undefined;
    if (method === 'GET') {
      return flag(query, 'watch')
        ? this.#watch(target, watchOptions(query, namespace))
        : this.#list(target, listOptions(query, namespace));
    }
    if (method === 'POST' && writable) return this.#create(target);
    const isDeletable = this.#catalog.verbs(def).includes('deletecollection');
    if (method === 'DELETE' && writable && isDeletable) return this.#deleteCollection(target);
    throw methodNotAllowed();
  }

  #item(target: ItemTarget): Promise<void> {
    const { method, subresource, query, namespace, key } = target;
    if (subresource === 'finalize' && method !== 'PUT') throw methodNotAllowed();
    switch (method) {
      case 'GET':
        if (!flag(query, 'watch') || subresource) return this.#get(target);
        // Watching one object by its path is the old spelling of a field selector.
        return this.#watch(target, {
          ...watchOptions(query, namespace),
          fieldSelector: `metadata.name=${key.name.replace(/[\\,=]/g, String.raw`\$&`)}`,
        });
      case 'PUT':
        return this.#update(target);
      case 'PATCH':
        return this.#patch(target);
      case 'DELETE':
        if (subresource) throw methodNotAllowed();
        return this.#delete(target);
      default:
        throw methodNotAllowed();
    }
  }

  #reader(def: ResourceDef): ReadService {
    return this.#generated.get(def) ?? this.#service;
  }

  // ---- reads -------------------------------------------------------------------------------------------------

  async #get(target: ItemTarget): Promise<void> {
    const { def, key, query, subresource } = target;
    const form = answerForm(target);
    const include = includeObject(query);
    const resourceVersion = query.get('resourceVersion');
    const request: GetRequest = {
      ...(subresource ? { subresource } : {}),
      ...(resourceVersion ? { resourceVersion } : {}),
    };
    const generated = this.#generated.get(def);
    const found = await (generated ? generated.get(def, key) : this.#service.get(def, key, request));
    send(target.response, 200, await this.#presenter.object(shownAs(target), found, form, include));
  }

  async #list(target: Target, request: ListRequest): Promise<void> {
    const { def, query } = target;
    const form = answerForm(target);
    const include = includeObject(query);
    const result = await this.#reader(def).list(def, request);
    send(target.response, 200, await this.#presenter.list(def, result, form, include));
  }

  #watch(target: Target, request: ReturnType<typeof watchOptions>): Promise<void> {
    const { def, query, signal } = target;
    const encode = eventEncoder(this.#presenter, def, answerForm(target), includeObject(query));
    return streamWatch(
      target,
      () => this.#reader(def).watch(def, { ...request, signal }),
      encode,
      this.#turns,
    );
  }

  async #log(exchange: Exchange, path: ResourcePath): Promise<void> {
    const { def, namespace = '', name = '' } = path;
    if (exchange.method !== 'GET') throw methodNotAllowed();
    const { object } = await this.#service.get(def, { namespace, name });
    const options = logOptions(object, exchange.query, exchange.signal);
    if (!this.#logs) throw new ApiError('ServiceUnavailable', 'no node agent runs in this process');
    const lines = await this.#logs.open(namespace, name, options);
    await (wantsLogMessages(exchange) ? sendLogMessages(exchange, lines) : streamText(exchange, lines));
  }

  // ---- writes ------------------------------------------------------------------------------------------------

  async #create(target: Target): Promise<void> {
    const { def, request, namespace } = target;
    const options = writeOptions(target, 'CreateOptions');
    const form = answerForm(target);
    const bodyFaults = faultsFor(options);
    const type = request.headers['content-type'];
    const body = await decodeObject(target.yaml, await readBody(request), type, def, bodyFaults);
    const result = await this.#service.create(def, namespace, body, withFaults(options, bodyFaults));
    target.record?.created(result.object);
    await this.#written(target, 201, form, result);
  }

  async #review(exchange: Exchange, { def, namespace }: ResourcePath, review: Review): Promise<void> {
    const { request, response, user } = exchange;
    const form = negotiate(request.headers.accept);
    const type = request.headers['content-type'];
    const body = await decodeObject(exchange.yaml, await readBody(request), type, def);
    await sendDocument(response, 201, review(body, { user, namespace }), form);
  }

  async #update(target: ItemTarget): Promise<void> {
    const { def, request, key, subresource } = target;
    const options = writeOptions(target, 'UpdateOptions');
    const form = answerForm(target);
    const bodyFaults = faultsFor(options);
    const type = request.headers['content-type'];
    const posted = await readBody(request);
    const body = await decodeObject(target.yaml, posted, type, shownAs(target), bodyFaults);
    const result = await this.#service.update(def, key, body, {
      ...withFaults(options, bodyFaults),
      ...(subresource ? { subresource } : {}),
    });
    await this.#written(target, result.created ? 201 : 200, form, result);
  }

  async #patch(target: ItemTarget): Promise<void> {
    const { def, request, key, subresource } = target;
    const options = writeOptions(target, 'PatchOptions', isApply(request));
    const form = answerForm(target);
    const bodyFaults = faultsFor(options);
    const type = request.headers['content-type'];
    const patch = await decodePatch(target.yaml, await readBody(request), type, def, bodyFaults);
    const [fault] = bodyFaults?.texts ?? [];
    if (patch.type === 'apply' && fault !== undefined && options.fieldValidation === 'Strict') {
      throw new ApiError('BadRequest', `error strict decoding YAML: error converting YAML to JSON: ${fault}`);
    }
    const result = await this.#service.patch(def, key, patch, {
      ...withFaults(options, bodyFaults),
      ...(subresource ? { subresource } : {}),
    });
    await this.#written(target, result.created ? 201 : 200, form, result);
  }

  async #written(target: Target, code: number, form: AnswerForm, result: WriteResult): Promise<void> {
    const answer = await this.#presenter.object(shownAs(target), result, form, includeObject(target.query));
    send(target.response, code, answer, warningHeaders(result.warnings));
  }

  async #delete(target: ItemTarget): Promise<void> {
    const { def, request, query, key, response } = target;
    const form = answerForm(target);
    const type = request.headers['content-type'];
    const body = await decodeDeleteOptions(target.yaml, await readBody(request), type);
    const result = await this.#service.delete(def, key, deleteOptions(target, body));
    const served: Served = result;
    const answer =
      result.removed && !isShownWhenDeleted(def)
        ? await encodeDocument(deletedStatus(def, result.object), { format: form.format })
        : await this.#presenter.object(def, served, form, includeObject(query));
    send(response, 200, answer, warningHeaders(result.warnings));
  }

  async #deleteCollection(target: Target): Promise<void> {
    const { def, request, query, namespace, response } = target;
    const form = answerForm(target);
    const type = request.headers['content-type'];
    const body = await decodeDeleteOptions(target.yaml, await readBody(request), type);
    const options = deleteOptions(target, body);
    const result = await this.#service.deleteCollection(def, listOptions(query, namespace), options);
    send(response, 200, await this.#presenter.list(def, result, form, includeObject(query)));
  }
}

/** Where a decoder puts what only strict decoding minds; undefined when nobody asks. */
function faultsFor(options: WriteRequest): FoundFaults | undefined {
  return options.fieldValidation === 'Ignore' ? undefined : { texts: [] };
}

function withFaults(options: WriteRequest, bodyFaults: FoundFaults | undefined): WriteRequest {
  return bodyFaults?.texts.length ? { ...options, bodyFaults } : options;
}

function answerForm(exchange: Exchange): AnswerForm {
  return negotiate(exchange.request.headers.accept, objectTransforms);
}

/** The kind that a subresource shows: Scale has its own columns. */
function shownAs(target: Target): ResourceDef {
  return target.subresource === 'scale' ? scaleResource : target.def;
}

const scaleResource: ResourceDef = {
  group: 'autoscaling',
  version: 'v1',
  kind: 'Scale',
  listKind: 'ScaleList',
  plural: 'scales',
  singular: 'scale',
  namespaced: true,
  builtin: true,
  schema: { $ref: 'autoscaling.v1.Scale' },
  columns: [
    { name: 'Desired', type: 'integer', jsonPath: '.spec.replicas' },
    { name: 'Available', type: 'integer', jsonPath: '.status.replicas' },
  ],
};

/** What all warnings of an answer may have together, and each of those that are too many, characters (apiserver `warning`). */
const maxWarnings = 4096;
const maxShortened = 256;

/** Clients refuse answers whose head is too long: of many warnings the first are sent, shortened. */
function warningHeaders(warnings: readonly string[]): { warning?: string[] } {
  if (warnings.length === 0) return {};
  const isMuch = warnings.reduce((sum, { length }) => sum + length, 0) > maxWarnings;
  const shown: string[] = [];
  let left = maxWarnings;
  for (const warning of warnings) {
    const text = isMuch ? warning.slice(0, maxShortened) : warning;
    if (text.length > left) break;
    left -= text.length;
    shown.push(warningHeader(text));
  }
  return { warning: shown };
}

/** RFC 7234 §5.5, code 299 without an agent, as Kubernetes sends warnings. */
function warningHeader(text: string): string {
  // Header values carry visible ASCII alone; anything else could end the header or be refused by the client.
  const safe = text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, String.raw`\$&`);
  return `299 - "${safe.slice(0, 1024)}"`;
}
