/**
 * The definitions of the platform's own kinds. They come from the same schemas as everything else, so they are not stored:
 * their records are made when somebody looks. What users add to their metadata is.
 */
import { deepFreeze } from '../../../base/json.ts';
import { establish, makeCustomResourceDefinitions } from '../../../api/crd.ts';
import { qualifiedName, type ResourceDef } from '../../../api/resource.ts';
import type { StoredRecord } from '../../store/record.ts';
import type { Table } from '../../store/table.ts';
import type { Definition } from './definition.ts';

export class OwnDefinitions {
  readonly #resources = new Map<string, ResourceDef[]>();
  readonly #created: string;

  /** `created` is the RFC 3339 time that the definitions show. */
  constructor(resources: readonly ResourceDef[], created: string) {
    this.#created = created;
    for (const def of resources) {
      if (def.builtin) continue;
      const name = qualifiedName(def);
      this.#resources.set(name, [...(this.#resources.get(name) ?? []), def]);
    }
  }

  has(name: string): boolean {
    return this.#resources.has(name);
  }

  /** Made anew on each call: big, and seldom asked for. */
  make(name: string): Definition | undefined {
    const [definition] = makeCustomResourceDefinitions(this.#resources.get(name) ?? []);
    return definition && (establish(definition, this.#created) as unknown as Definition);
  }

  /** Puts all of them into the table of definitions. A stored one keeps its metadata and shows today's schema. */
  install(table: Table): void {
    for (const name of this.#resources.keys()) {
      table.set(new OwnRecord(name, table.get(name), () => this.make(name)));
    }
  }
}

class OwnRecord implements StoredRecord {
  readonly key: string;
  readonly resourceVersion: number;
  readonly #stored: StoredRecord | undefined;
  readonly #make: () => Definition | undefined;
  #object: StoredRecord['object'] | undefined;

  constructor(key: string, stored: StoredRecord | undefined, make: () => Definition | undefined) {
    this.key = key;
    this.#stored = stored;
    this.#make = make;
    this.resourceVersion = stored?.resourceVersion ?? 1;
  }

  get object(): StoredRecord['object'] {
    if (!this.#object) {
      const own = this.#make();
      if (!own) throw new Error(`no resource ${this.key}`);
      const stored = this.#stored?.object as Definition | undefined;
      const metadata = stored
        ? { ...stored.metadata, labels: { ...stored.metadata.labels, ...own.metadata.labels } }
        : own.metadata;
      this.#object = deepFreeze({ ...own, metadata });
    }
    return this.#object;
  }

  get bytes(): Buffer {
    return Buffer.from(JSON.stringify(this.object));
  }
}
