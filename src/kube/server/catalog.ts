/** The resources that the server knows, arranged as the API is: groups, versions in order of preference, resources. */
import { apiVersionOf, type ResourceDef } from '../../api/resource.ts';
import type { ResourceSource } from '../resource-registry.ts';
import type { SubresourceHandler } from './subresources.ts';

export interface GroupVersion {
  readonly group: string;
  readonly version: string;
  /** `v1` or `apps/v1`. */
  readonly apiVersion: string;
  /** Sorted by plural. */
  readonly resources: readonly ResourceDef[];
}

export interface ApiGroup {
  readonly name: string;
  /** Preferred first. */
  readonly versions: readonly GroupVersion[];
}

/** A subresource as discovery lists it. */
export interface Subresource {
  readonly name: string;
  readonly verbs: readonly string[];
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
}

/** What follows from one generation of the resources. */
interface Arrangement {
  readonly generation: number;
  readonly resources: readonly ResourceDef[];
  readonly groups: readonly ApiGroup[];
  readonly byPath: ReadonlyMap<string, ResourceDef>;
}

/** Always current: what is asked of it is answered from the resources that are served at that moment. */
export class ApiCatalog {
  readonly #source: ResourceSource;
  readonly #virtual: ReadonlyMap<ResourceDef, readonly string[]>;
  readonly #actions: readonly SubresourceHandler[];
  #arrangement: Arrangement | undefined;

  /**
   * `virtual` resources are not kept in the store; each is served for the verbs given with it alone. `actions` are
   * subresources beyond those that a definition brings.
   */
  constructor(
    resources: readonly ResourceDef[] | ResourceSource,
    virtual: ReadonlyMap<ResourceDef, readonly string[]> = new Map(),
    actions: readonly SubresourceHandler[] = [],
  ) {
    this.#source = 'generation' in resources ? resources : { generation: 0, resources };
    this.#actions = actions;
    this.#virtual = virtual;
  }

  /** Moves whenever anything that is said here may have changed. */
  get generation(): number {
    return this.#source.generation;
  }

  /** The core group first, Kubernetes' own groups next: short names resolve in this order. */
  get groups(): readonly ApiGroup[] {
    return this.#now().groups;
  }

  get resources(): readonly ResourceDef[] {
    return this.#now().resources;
  }

  #now(): Arrangement {
    const { generation } = this.#source;
    if (this.#arrangement?.generation !== generation) {
      const resources = [...this.#source.resources, ...this.#virtual.keys()];
      const byPath = new Map(resources.map((def) => [`${apiVersionOf(def)}/${def.plural}`, def]));
      this.#arrangement = { generation, resources, groups: arrange(resources), byPath };
    }
    return this.#arrangement;
  }

  /** The definition behind a path's group version and plural. */
  resource(apiVersion: string, plural: string): ResourceDef | undefined {
    return this.#now().byPath.get(`${apiVersion}/${plural}`);
  }

  groupVersion(group: string, version: string): GroupVersion | undefined {
    return this.group(group)?.versions.find((candidate) => candidate.version === version);
  }

  group(name: string): ApiGroup | undefined {
    return this.groups.find((group) => group.name === name);
  }

  verbs(def: ResourceDef): readonly string[] {
    return this.#virtual.get(def) ?? (isCore(def, 'namespaces') ? namespaceVerbs : allVerbs);
  }

  /** Whether the store keeps its objects: those of other resources are made when they are asked for. */
  isStored(def: ResourceDef): boolean {
    return !this.#virtual.has(def);
  }

  /** Subresources of a resource, sorted by name; virtual ones have none. */
  subresources(def: ResourceDef): readonly Subresource[] {
    if (this.#virtual.has(def)) return [];
    const actions = this.#actions.filter(({ of }) => of.group === def.group && of.plural === def.plural);
    return [...subresourcesOf(def), ...actions].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

/** Verbs of resources whose objects come from code. */
export const readVerbs = ['get', 'list', 'watch'];
/** Verbs of resources that only answer a question. */
export const reviewVerbs = ['create'];
const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
/** Nobody deletes all namespaces, and with them everything, by one request. */
const namespaceVerbs = allVerbs.filter((verb) => verb !== 'deletecollection');
const objectVerbs = ['get', 'patch', 'update'];

function subresourcesOf(def: ResourceDef): Subresource[] {
  const own = { group: def.group, version: def.version, kind: def.kind };
  const out: Subresource[] = [];
  if (isCore(def, 'namespaces')) out.push({ name: 'finalize', verbs: ['update'], kind: own });
  if (isCore(def, 'pods')) {
    out.push({ name: 'log', verbs: ['get'], kind: own });
    out.push({ name: 'ephemeralcontainers', verbs: objectVerbs, kind: own });
  }
  if (def.subresources?.scale) {
    const scale = { group: 'autoscaling', version: 'v1', kind: 'Scale' };
    out.push({ name: 'scale', verbs: objectVerbs, kind: scale });
  }
  if (def.subresources?.status) out.push({ name: 'status', verbs: objectVerbs, kind: own });
  if (def.subresources?.approval) out.push({ name: 'approval', verbs: objectVerbs, kind: own });
  return out;
}

function isCore(def: ResourceDef, plural: string): boolean {
  return def.group === '' && def.plural === plural;
}

function arrange(resources: readonly ResourceDef[]): ApiGroup[] {
  const groups = new Map<string, Map<string, ResourceDef[]>>();
  for (const def of [...resources].sort((a, b) => rank(a) - rank(b))) {
    const versions = groups.get(def.group) ?? new Map<string, ResourceDef[]>();
    groups.set(def.group, versions);
    versions.set(def.version, [...(versions.get(def.version) ?? []), def]);
  }
  return [...groups].map(([name, versions]) => ({
    name,
    versions: [...versions]
      .map(([version, defs]) => ({
        group: name,
        version,
        apiVersion: apiVersionOf({ group: name, version }),
        resources: defs.sort((a, b) => (a.plural < b.plural ? -1 : 1)),
      }))
      .sort((a, b) => compareVersions(a.version, b.version)),
  }));
}

function rank(def: ResourceDef): number {
  if (def.group === '') return 0;
  return def.builtin ? 1 : 2;
}

/** Kubernetes' order of versions: stable before beta before alpha, newer before older, anything else last. */
export function compareVersions(a: string, b: string): number {
  const left = versionKey(a);
  const right = versionKey(b);
  for (let i = 0; i < 3; i++) {
    const difference = (right[i] ?? 0) - (left[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a < b ? -1 : 1;
}

function versionKey(version: string): [number, number, number] {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (!match) return [0, 0, 0];
  const stability = match[2] === 'alpha' ? 1 : match[2] === 'beta' ? 2 : 3;
  return [stability, Number(match[1]), Number(match[3] ?? 0)];
}
