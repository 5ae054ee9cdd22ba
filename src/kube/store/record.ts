/** What the store keeps and publishes: one immutable record per version of an object, one event per write. */
import { deepFreeze } from '../../base/json.ts';
import type { KubeObject } from '../../api/object.ts';

/** One version of one object. `object` is deep-frozen and shared by every reader; `bytes` is its JSON. */
export interface StoredRecord {
  /** `namespace/name`, or `name` for cluster-scoped objects. */
  readonly key: string;
  readonly resourceVersion: number;
  readonly object: KubeObject;
  readonly bytes: Buffer;
}

/** A record whose object is parsed when it is first asked for: a start need not wait for a hundred thousand of them. */
export class LoadedRecord implements StoredRecord {
  readonly key: string;
  readonly resourceVersion: number;
  readonly bytes: Buffer;
  #object: KubeObject | undefined;

  /** `bytes` must be the JSON of an object. */
  constructor(key: string, resourceVersion: number, bytes: Buffer) {
    this.key = key;
    this.resourceVersion = resourceVersion;
    this.bytes = bytes;
  }

  get object(): KubeObject {
    this.#object ??= deepFreeze(JSON.parse(this.bytes.toString()) as KubeObject);
    return this.#object;
  }
}

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

const heads = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
  BOOKMARK: Buffer.from('{"type":"BOOKMARK","object":'),
};
const tail = Buffer.from('}\n');

/** The line of a JSON watch stream: `{"type":…,"object":…}` and a line feed. */
export function eventLine(type: keyof typeof heads, object: Buffer): Buffer {
  return Buffer.concat([heads[type], object, tail]);
}

/** A committed write. A DELETED event's record carries the deletion's own resourceVersion. */
export class StoreEvent {
  readonly type: EventType;
  readonly record: StoredRecord;
  /** The version before this write; absent for ADDED. Lets a selector see an object leave. */
  readonly prev: StoredRecord | undefined;
  #line: Buffer | undefined;
  #entered: StoreEvent | undefined;
  #left: StoreEvent | undefined;

  constructor(type: EventType, record: StoredRecord, prev: StoredRecord | undefined) {
    this.type = type;
    this.record = record;
    this.prev = prev;
  }

  get object(): KubeObject {
    return this.record.object;
  }

  get resourceVersion(): number {
    return this.record.resourceVersion;
  }

  /** Built by the first watcher that needs it and shared by all others. */
  get line(): Buffer {
    this.#line ??= eventLine(this.type, this.record.bytes);
    return this.#line;
  }

  /** This write as a watcher sees it whose selector begins to match with it. */
  get entered(): StoreEvent {
    this.#entered ??= new StoreEvent('ADDED', this.record, undefined);
    return this.#entered;
  }

  /** This write as a watcher sees it whose selector no longer matches: the previous object at this write's version. */
  get left(): StoreEvent {
    if (!this.#left) {
      const last = this.prev ?? this.record;
      const metadata = { ...last.object.metadata, resourceVersion: String(this.resourceVersion) };
      const object = deepFreeze({ ...last.object, metadata });
      const bytes = Buffer.from(JSON.stringify(object));
      this.#left = new StoreEvent(
        'DELETED',
        { key: last.key, resourceVersion: this.resourceVersion, object, bytes },
        last,
      );
    }
    return this.#left;
  }
}
