/**
 * Custom resources at work: follows the stored CustomResourceDefinitions and keeps the registry of resources in step.
 * It listens to the table of definitions before anyone else, so whoever sees a definition can use what it defines.
 */
import type { Clock } from '../../../base/clock.ts';
import { deepEqual } from '../../../base/json.ts';
import { timestamp } from '../../../api/object.ts';
import { customResourceDefinitions } from '../../../api/crd.ts';
import { qualifiedName, type ResourceDef } from '../../../api/resource.ts';
import { ApiError } from '../../api-error.ts';
import { ResourceRegistry } from '../../resource-registry.ts';
import type { StoreEvent } from '../../store/record.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../service/admission-plugin.ts';
import { forbidden } from '../service/errors.ts';
import { Cleanup, type CleanupService } from './cleanup.ts';
import { ConversionWebhooks } from './conversion-webhook.ts';
import { isTrue, type Definition } from './definition.ts';
import { OwnDefinitions } from './own.ts';
import { definitionResource } from './resource.ts';
import { compileRules, ruleFaults } from './rules.ts';
import type { TakenNames } from './status.ts';
import { customResource, renameVersion } from './versions.ts';

export interface DefinitionsOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** The resources that the platform brings. */
  readonly resources: readonly ResourceDef[];
}

export class Definitions {
  /** Everything that is served, definitions included. */
  readonly registry: ResourceRegistry;
  readonly #resource: ResourceDef<Definition>;
  readonly #table: Table;
  readonly #own: OwnDefinitions;
  readonly #options: DefinitionsOptions;
  readonly #webhooks: ConversionWebhooks;
  readonly #served = new Map<string, Definition>();
  #cleanup: Cleanup | undefined;

  constructor(options: DefinitionsOptions) {
    const { store, resources, clock } = options;
    this.#options = options;
    this.#webhooks = new ConversionWebhooks(store);
    this.#resource = definitionResource({
      checkRules: ruleFaults,
      taken: (definition) => this.#taken(definition),
      own: (name) => this.#own.make(name),
    });
    this.#own = new OwnDefinitions(resources, timestamp(creation(store, clock)));
    this.registry = new ResourceRegistry([...resources, this.#resource]);
    this.#table = store.table(qualifiedName(customResourceDefinitions));
    const stored = this.#table.records();
    this.#own.install(this.#table);
    for (const { key, object } of stored) if (!this.#own.has(key)) this.#follow(key, object as Definition);
    this.#table.subscribe((events) => this.#note(events));
  }

  /** Begins with what removing a definition takes: deleting its objects. */
  start(service: CleanupService): void {
    this.#cleanup = new Cleanup(service, this.#resource, this.#options.clock);
    for (const record of this.#table.records()) {
      // Their objects are made when somebody looks.
      if (!this.#own.has(record.key)) this.#clean(record.key, record.object as Definition);
    }
  }

  /** What writes to definitions, and to their objects, must not do. */
  readonly plugin: AdmissionPlugin = {
    name: 'CustomResourceDefinitions',
    validate: (attributes) => this.#check(attributes),
  };

  #check({ def, operation, name, subresource }: AdmissionAttributes): void {
    if (def === this.#resource) {
      if (operation !== 'DELETE' || !this.#own.has(name)) return;
      throw forbidden(def, name, 'the kind is part of this platform and cannot be removed');
    }
    if (operation !== 'CREATE' || subresource !== undefined) return;
    if (this.#served.get(qualifiedName(def))?.metadata.deletionTimestamp === undefined) return;
    throw new ApiError(
      'MethodNotAllowed',
      'create not allowed while custom resource definition is terminating',
    );
  }

  #note(events: readonly StoreEvent[]): void {
    for (const { type, record } of events) {
      if (this.#own.has(record.key)) continue;
      const definition = record.object as Definition;
      this.#follow(record.key, type === 'DELETED' ? undefined : definition);
      if (type === 'DELETED') this.#cleanup?.retryNames(this.#waiting(definition));
      else this.#clean(record.key, definition);
    }
  }

  /** Serves what the definition says now, or no longer. */
  #follow(name: string, definition: Definition | undefined): void {
    const before = this.#served.get(name);
    if (!definition || !isTrue(definition, 'Established') || definition.spec.versions.length === 0) {
      this.#served.delete(name);
      this.registry.set(name, undefined);
      return;
    }
    this.#served.set(name, definition);
    if (before && sameService(before, definition)) return;
    this.registry.set(
      name,
      customResource(definition, {
        rules: compileRules,
        convert: (given) =>
          given.spec.conversion?.strategy === 'Webhook' ? this.#webhooks.converter(given) : renameVersion,
      }),
    );
  }

  #clean(name: string, definition: Definition): void {
    if (definition.metadata.deletionTimestamp === undefined) return;
    const stored = this.registry.stored.find((def) => qualifiedName(def) === name);
    this.#cleanup?.begin(name, stored && { def: stored, table: this.#options.store.table(name) });
  }

  /** Definitions whose names were in the way of another's, until that went. */
  #waiting(gone: Definition): string[] {
    return this.#others(gone)
      .filter((other) => other.spec.group === gone.spec.group && !isTrue(other, 'NamesAccepted'))
      .map((other) => other.metadata.name);
  }

  /** All stored definitions of users but this one; the newest, durable or not. */
  #others({ metadata }: Definition): Definition[] {
    return this.#table
      .records()
      .filter(({ key }) => key !== metadata.name && !this.#own.has(key))
      .map(({ object }) => object as Definition);
  }

  #taken(definition: Definition): TakenNames {
    const resources = new Map<string, string>();
    const kinds = new Map<string, string>();
    const { group } = definition.spec;
    const take = (names: Partial<Definition['spec']['names']>, by: string): void => {
      const { plural, singular, shortNames = [], kind, listKind } = names;
      for (const name of [plural, singular, ...shortNames]) if (name) resources.set(name, by);
      for (const name of [kind, listKind]) if (name) kinds.set(name, by);
    };
    for (const def of this.registry.fixed) if (def.group === group) take(def as never, def.kind);
    for (const other of this.#others(definition)) {
      if (other.spec.group === group) take(other.status?.acceptedNames ?? {}, other.metadata.name);
    }
    return { resources, kinds };
  }
}

/** When the cluster began, as far as the store knows: the same on every start. */
function creation(store: Store, clock: Clock): number {
  const record = store.table('namespaces').get('kube-system');
  const at = Date.parse(record?.object.metadata.creationTimestamp ?? '');
  return Number.isNaN(at) ? clock.now() : at;
}

/** Whether two versions of a definition are served alike: a change of labels or conditions moves no document. */
function sameService(before: Definition, next: Definition): boolean {
  return (
    deepEqual(before.spec, next.spec) &&
    deepEqual(before.status?.acceptedNames, next.status?.acceptedNames) &&
    deepEqual(before.status?.storedVersions, next.status?.storedVersions)
  );
}
