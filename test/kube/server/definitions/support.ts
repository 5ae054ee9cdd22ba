/** Definitions as users write them, and the API around them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { UntypedObject } from '../../../../src/api/object.ts';
import type { ResourceDef } from '../../../../src/api/resource.ts';
import type { ObjectKey } from '../../../../src/kube/client/client.ts';
import type { ApiService } from '../../../../src/kube/server/service/service.ts';

export const user = 'alice';

export function fixture(name: string): UntypedObject {
  return parse(readFileSync(join(import.meta.dirname, 'fixtures', name), 'utf8')) as UntypedObject;
}

type Members = Record<string, unknown>;

/** A version of a definition; `spec` and `status` are the schemas of those members. */
export function version(name: string, spec: Members, more: Members = {}): Members {
  return {
    name,
    served: true,
    storage: true,
    schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', ...spec } } } },
    ...more,
  };
}

/** The definition of the kind Thing, `things.test.example.dev`. */
export function thing(versions: readonly unknown[], more: Members = {}): UntypedObject {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.test.example.dev' },
    spec: {
      group: 'test.example.dev',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions,
      ...more,
    },
  };
}

/** The API of one kind, as of now. */
export class Kind {
  readonly #service: ApiService;
  readonly #apiVersion: string;
  readonly #plural: string;

  constructor(service: ApiService, apiVersion: string, plural: string) {
    this.#service = service;
    this.#apiVersion = apiVersion;
    this.#plural = plural;
  }

  get def(): ResourceDef {
    const def = this.#service.registry.find(this.#apiVersion, this.#plural);
    if (!def) throw new Error(`${this.#plural} of ${this.#apiVersion} are not served`);
    return def;
  }

  /** `more`: further members of the object. */
  object(name: string, more: Members = {}): UntypedObject {
    return { apiVersion: this.#apiVersion, kind: this.def.kind, metadata: { name }, ...more };
  }

  async create(object: UntypedObject): Promise<UntypedObject> {
    const namespace = this.def.namespaced ? 'default' : undefined;
    return (await this.#service.create(this.def, namespace, object, { user })).object as UntypedObject;
  }

  async get(name: string): Promise<UntypedObject> {
    return (await this.#service.get(this.def, this.#key(name))).object as UntypedObject;
  }

  async merge(name: string, body: unknown): Promise<UntypedObject> {
    const patch = { type: 'merge', body } as const;
    return (await this.#service.patch(this.def, this.#key(name), patch, { user })).object as UntypedObject;
  }

  async update(object: UntypedObject): Promise<UntypedObject> {
    const key = this.#key(object.metadata.name);
    return (await this.#service.update(this.def, key, object, { user })).object as UntypedObject;
  }

  async list(): Promise<UntypedObject[]> {
    return (await this.#service.list(this.def)).records.map(({ object }) => object as UntypedObject);
  }

  async delete(name: string): Promise<void> {
    await this.#service.delete(this.def, this.#key(name), { user });
  }

  #key(name: string): ObjectKey {
    return this.def.namespaced ? { namespace: 'default', name } : { name };
  }
}

export function definitionsOf(service: ApiService): Kind {
  return new Kind(service, 'apiextensions.k8s.io/v1', 'customresourcedefinitions');
}

/** The statuses of a definition's conditions, by type. */
export function conditions(definition: UntypedObject): Record<string, string> {
  const status = definition['status'] as { conditions?: { type: string; status: string }[] } | undefined;
  return Object.fromEntries((status?.conditions ?? []).map((c) => [c.type, c.status]));
}
