/** The bytes of an answer: an object or a list in the form that the client asked for. */
import { apiVersionOf, type ResourceDef } from '../../api/resource.ts';
import type { KubeObject } from '../../api/object.ts';
import type { AnswerForm } from './media-type.ts';
import type { ListResult, Served } from './service/requests.ts';
import { makePrinter, partialMetadata, tableRow, type IncludeObject, type TablePrinter } from './table.ts';
import { encodeYaml } from './yaml/encode.ts';
import type { YamlThread } from './yaml/thread.ts';

export interface Answer {
  readonly contentType: string;
  readonly body: Buffer;
}

/** Makes answers for resources; keeps one printer a resource. */
export class Presenter {
  readonly #printers = new WeakMap<ResourceDef, TablePrinter>();
  readonly #yaml: YamlThread;

  constructor(yaml: YamlThread) {
    this.#yaml = yaml;
  }

  printer(def: ResourceDef): TablePrinter {
    let printer = this.#printers.get(def);
    if (!printer) {
      printer = makePrinter(def);
      this.#printers.set(def, printer);
    }
    return printer;
  }

  /** One object; as a Table it has one row. */
  object(def: ResourceDef, served: Served, form: AnswerForm, include: IncludeObject): Promise<Answer> {
    const { as } = form;
    if (!as) return this.#encode(served.bytes, form);
    const apiVersion = `${as.group}/${as.version}`;
    if (as.kind !== 'Table') return this.#encode(toBytes(partialMetadata(served.object, apiVersion)), form);
    const metadata = { resourceVersion: served.object.metadata.resourceVersion };
    return this.#encode(toBytes(this.table(def, [served.object], { apiVersion, include, metadata })), form);
  }

  list(def: ResourceDef, result: ListResult, form: AnswerForm, include: IncludeObject): Promise<Answer> {
    const { as } = form;
    const metadata = listMetadata(result);
    if (!as) return this.#encode(listBytes(def, metadata, result.records), form);
    const apiVersion = `${as.group}/${as.version}`;
    if (as.kind !== 'Table') {
      const items = result.records.map(({ object }) => partialMetadata(object, apiVersion));
      return this.#encode(toBytes({ kind: 'PartialObjectMetadataList', apiVersion, metadata, items }), form);
    }
    const objects = result.records.map(({ object }) => object);
    return this.#encode(toBytes(this.table(def, objects, { apiVersion, include, metadata })), form);
  }

  async #encode(json: Buffer, form: AnswerForm): Promise<Answer> {
    if (form.format === 'json') return { contentType: 'application/json', body: json };
    return { contentType: 'application/yaml', body: await this.#yaml.encode(json) };
  }

  /** `apiVersion` is the version of meta.k8s.io that was asked for. */
  table(
    def: ResourceDef,
    objects: readonly KubeObject[],
    options: { apiVersion: string; include: IncludeObject; metadata: object },
  ): object {
    const printer = this.printer(def);
    const { apiVersion, include, metadata } = options;
    const now = Date.now();
    return {
      kind: 'Table',
      apiVersion,
      metadata,
      columnDefinitions: printer.columns,
      rows: objects.map((object) => tableRow(printer, object, { include, apiVersion, now })),
    };
  }
}

/** A document of the server's own, e.g. a Status. */
export async function encodeDocument(document: object, form: AnswerForm): Promise<Answer> {
  if (form.format === 'json') return { contentType: 'application/json', body: toBytes(document) };
  return { contentType: 'application/yaml', body: Buffer.from(await encodeYaml(JSON.stringify(document))) };
}

function listMetadata(result: ListResult): object {
  return {
    resourceVersion: result.resourceVersion,
    ...(result.continue ? { continue: result.continue } : {}),
    ...(result.remainingItemCount ? { remainingItemCount: result.remainingItemCount } : {}),
  };
}

/** The list is put together from the stored bytes: nothing is serialised again. */
function listBytes(def: ResourceDef, metadata: object, records: readonly Served[]): Buffer {
  const head = `{"kind":${JSON.stringify(def.listKind)},"apiVersion":${JSON.stringify(apiVersionOf(def))},"metadata":${JSON.stringify(metadata)},"items":[`;
  const parts: Buffer[] = [Buffer.from(head)];
  for (const [i, { bytes }] of records.entries()) {
    if (i > 0) parts.push(comma);
    parts.push(bytes);
  }
  parts.push(tail);
  return Buffer.concat(parts);
}

const comma = Buffer.from(',');
const tail = Buffer.from(']}\n');

function toBytes(document: object): Buffer {
  return Buffer.from(`${JSON.stringify(document)}\n`);
}
