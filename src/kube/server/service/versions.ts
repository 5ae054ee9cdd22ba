/** Objects in the version that a client asked for, whatever version the store keeps them in. */
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import { apiVersionOf, storedAs, type Conversion, type ResourceDef } from '../../../api/resource.ts';
import { applyDefaults, prune, resourceSchema } from '../../../api/structural.ts';
import { deepEqual } from '../../../base/json.ts';
import { eventLine, StoreEvent } from '../../store/record.ts';
import { served } from './reads.ts';
import type { Served, ServedEvent, ServedEvents } from './requests.ts';

/** Whether an object has to be converted to be shown as the definition says. */
export function isForeign(def: ResourceDef, object: KubeObject): boolean {
  return def.conversion !== undefined && object.apiVersion !== apiVersionOf(def);
}

/** Whether an object was written under another schema than the one that its kind has now. */
function isOutdated(def: ResourceDef, { metadata }: KubeObject): boolean {
  const { schemaSince } = storedAs(def);
  return schemaSince !== undefined && Number(metadata.resourceVersion) < schemaSince;
}

/** Whether objects of a resource may be stored otherwise than they are shown. */
export function mayDiffer(def: ResourceDef): boolean {
  return def.conversion !== undefined || def.schemaSince !== undefined;
}

/** The object in the form of today's schema of the version that it is stored in; itself when it has that. */
function upToDate(def: ResourceDef, object: UntypedObject): UntypedObject {
  const stored = storedAs(def);
  if (!isOutdated(def, object) || object.apiVersion !== apiVersionOf(stored)) return object;
  const copy = structuredClone(object);
  fit(stored, [copy]);
  return deepEqual(copy, object) ? object : copy;
}

/** The object in the definition's version; itself when it is that already. A promise only when somebody must be asked. */
export function inVersion(def: ResourceDef, object: UntypedObject): UntypedObject | Promise<UntypedObject> {
  const current = upToDate(def, object);
  return isForeign(def, current) ? convertOne(def.conversion, def, current) : current;
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
    if (!mayDiffer(def)) return records;
    const foreign: Served[] = [];
    const current: UntypedObject[] = [];
    for (const record of records) {
      const { object } = record;
      if (!(isForeign(def, object) || isOutdated(def, object)) || this.#get(def, record)) continue;
      const today = upToDate(def, object as UntypedObject);
      if (!isForeign(def, object)) this.#set(def, record, today === object ? record : served(today));
      else {
        foreign.push(record);
        current.push(today);
      }
    }
    const finish = (objects: readonly UntypedObject[]): readonly Served[] => {
      foreign.forEach((record, i) => {
        const object = objects[i];
        if (object) this.#set(def, record, served(object));
      });
      return records.map((record) => this.#get(def, record) ?? record);
    };
    if (foreign.length === 0) return finish([]);
    const converted = convertAll(def.conversion, def, current);
    return converted instanceof Promise ? converted.then(finish) : finish(converted);
  }

  /**
   * A watch in the definition's version: events one by one, in their order. `matches` is a filter that has to see objects
   * as they are shown.
   */
  async *events(
    def: ResourceDef,
    stream: ServedEvents,
    matches?: (object: KubeObject) => boolean,
  ): AsyncGenerator<ServedEvent, void> {
    for await (const given of stream) {
      if (given.type === 'BOOKMARK') {
        yield given;
        continue;
      }
      const event = matches && given instanceof StoreEvent ? await this.#seen(def, given, matches) : given;
      if (!event) continue;
      const record = event instanceof StoreEvent ? event.record : served(event.object);
      const shown = await this.one(def, record);
      if (shown === record) yield event;
      else yield { type: event.type, object: shown.object, line: eventLine(event.type, shown.bytes) };
    }
  }

  /** What a watcher sees of an event: entering what it asked for is ADDED, leaving it is DELETED. */
  async #seen(
    def: ResourceDef,
    event: StoreEvent,
    matches: (object: KubeObject) => boolean,
  ): Promise<StoreEvent | undefined> {
    const { prev, record, type } = event;
    const before = prev !== undefined && matches((await this.one(def, prev)).object);
    if (type === 'DELETED') return before ? event : undefined;
    const now = matches((await this.one(def, record)).object);
    if (now) return before || type === 'ADDED' ? event : event.entered;
    return before ? event.left : undefined;
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
