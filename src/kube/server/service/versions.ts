/** Objects in the version that a client asked for, whatever version the store keeps them in. */
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import { apiVersionOf, storedAs, type Conversion, type ResourceDef } from '../../../api/resource.ts';
import { applyDefaults, prune, resourceSchema } from '../../../api/structural.ts';
import { eventLine, StoreEvent } from '../../store/record.ts';
import { served } from './reads.ts';
import type { Served, ServedEvent, ServedEvents } from './requests.ts';

/** Whether an object has to be converted to be shown as the definition says. */
export function isForeign(def: ResourceDef, object: KubeObject): boolean {
  return def.conversion !== undefined && object.apiVersion !== apiVersionOf(def);
}

/** The object in the definition's version; itself when it is that already. A promise only when somebody must be asked. */
export function inVersion(def: ResourceDef, object: UntypedObject): UntypedObject | Promise<UntypedObject> {
  return isForeign(def, object) ? convertOne(def.conversion, def, object) : object;
}

function convertOne(
  conversion: Conversion | undefined,
  to: ResourceDef,
  object: UntypedObject,
): UntypedObject | Promise<UntypedObject> {
  const converted = convertAll(conversion, to, [object]);
  return converted instanceof Promise ? converted.then(firstOf) : firstOf(converted);
}

/** The same for objects that are on their way out: one whose webhook does not answer must not stay for ever. */
export function inVersionOrAsStored(
  def: ResourceDef,
  object: UntypedObject,
): UntypedObject | Promise<UntypedObject> {
  const converted = inVersion(def, object);
  return converted instanceof Promise ? converted.catch(() => object) : converted;
}

/** The object as it is to be stored. */
export function forStore(def: ResourceDef, object: UntypedObject): UntypedObject | Promise<UntypedObject> {
  const to = storedAs(def);
  return object.apiVersion === apiVersionOf(to) ? object : convertOne(def.conversion, to, object);
}

function firstOf(objects: readonly UntypedObject[]): UntypedObject {
  const [object] = objects;
  if (!object) throw new Error('a conversion gave no object');
  return object;
}

function convertAll(
  conversion: Conversion | undefined,
  to: ResourceDef,
  objects: readonly UntypedObject[],
): readonly UntypedObject[] | Promise<readonly UntypedObject[]> {
  const converted = conversion?.convert(objects, to) ?? objects;
  return converted instanceof Promise ? converted.then((all) => fit(to, all)) : fit(to, converted);
}

/** What a version does not know goes, what it defaults comes: the same as if the object had been written in it. */
function fit(def: ResourceDef, objects: readonly UntypedObject[]): readonly UntypedObject[] {
  if (def.builtin) return objects;
  const schema = resourceSchema(def);
  for (const object of objects) {
    prune(schema, object);
    applyDefaults(schema, object);
  }
  return objects;
}

/** Keeps what was converted as long as its record lives. */
export class VersionCache {
  readonly #converted = new WeakMap<object, WeakMap<ResourceDef, Served>>();

  one(def: ResourceDef, record: Served): Served | Promise<Served> {
    const all = this.all(def, [record]);
    return all instanceof Promise ? all.then(([first]) => first ?? record) : (all[0] ?? record);
  }

  /** The records in the definition's version, in order. */
  all(def: ResourceDef, records: readonly Served[]): readonly Served[] | Promise<readonly Served[]> {
    if (!def.conversion) return records;
    const missing = records.filter((record) => isForeign(def, record.object) && !this.#get(def, record));
    const finish = (objects: readonly UntypedObject[]): readonly Served[] => {
      missing.forEach((record, i) => {
        const object = objects[i];
        if (object) this.#set(def, record, served(object));
      });
      return records.map((record) => this.#get(def, record) ?? record);
    };
    if (missing.length === 0) return finish([]);
    const converted = convertAll(
      def.conversion,
      def,
      missing.map(({ object }) => object as UntypedObject),
    );
    return converted instanceof Promise ? converted.then(finish) : finish(converted);
  }

  /** A watch in the definition's version: events one by one, in their order. */
  async *events(def: ResourceDef, stream: ServedEvents): AsyncGenerator<ServedEvent, void> {
    for await (const event of stream) {
      if (event.type === 'BOOKMARK') {
        yield event;
        continue;
      }
      const record = event instanceof StoreEvent ? event.record : served(event.object);
      const shown = await this.one(def, record);
      if (shown === record) yield event;
      else yield { type: event.type, object: shown.object, line: eventLine(event.type, shown.bytes) };
    }
  }

  #get(def: ResourceDef, record: Served): Served | undefined {
    return this.#converted.get(record)?.get(def);
  }

  #set(def: ResourceDef, record: Served, converted: Served): void {
    let versions = this.#converted.get(record);
    if (!versions) {
      versions = new WeakMap();
      this.#converted.set(record, versions);
    }
    versions.set(def, converted);
  }
}
