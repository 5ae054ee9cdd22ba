/** A resource: what the API serves under one plural name. Everything about a kind that is data or pure lives here. */
import type { Infer, Schema } from './schema.ts';
import type { KubeObject, UntypedObject } from './object.ts';

/** Who asks, and how: what admission may look at. */
export interface AdmissionContext {
  readonly operation: 'CREATE' | 'UPDATE';
  /** The stored object on UPDATE. */
  readonly old?: KubeObject;
  /** The authenticated user name, e.g. `system:admin`. */
  readonly user: string;
  /** The user's groups; absent for the platform's own parts. */
  readonly groups?: readonly string[];
  readonly dryRun: boolean;
  /** Set on a write to `status` or `scale`. */
  readonly subresource?: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /**
   * What the embedded store holds now of another resource, for decisions that need it (a free cluster IP).
   * Synchronous: nothing may come between looking and writing. Absent: decide without.
   */
  readonly stored?: <T extends KubeObject>(def: ResourceDef<T>) => Iterable<T>;
  /** Where cluster IPs come from, `10.x.0.0/16`. Absent: Kubernetes' usual range. */
  readonly serviceRange?: string;
}

/** One fault found in an object. `path` is dotted with list indices: `spec.containers[0].image`. */
export interface Issue {
  /** Kubernetes field error type; decides the wording of a built-in kind's 422 (`field.ErrorType`). */
  readonly type:
    | 'Required'
    | 'Invalid'
    | 'NotSupported'
    | 'Duplicate'
    | 'Forbidden'
    | 'NotFound'
    | 'TypeInvalid'
    | 'TooLong'
    | 'TooMany';
  readonly path: string;
  /** What follows the type's own words and the value (`Required value: …`); may be empty. */
  readonly detail: string;
  /** The offending value, where showing it helps. */
  readonly value?: unknown;
}

/** A printer column of a CRD or built-in. `type: 'date'` prints an age. */
export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date' | 'number';
  readonly format?: string;
  readonly description?: string;
  /** 0 shows always, 1 with `-o wide`. */
  readonly priority?: number;
  /** JSONPath as in a CRD; absent when `cells` computes the row. */
  readonly jsonPath?: string;
}

export type Cell = string | number | boolean | null;

/**
 * The methods are declared in method form on purpose: a `ResourceDef<Pod>` must be usable as a `ResourceDef`.
 */
export interface ResourceDef<T extends KubeObject = KubeObject> {
  /** '' for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly namespaced: boolean;
  /**
   * True for Kubernetes' own kinds: strategic merge patch, protobuf bodies, Kubernetes validation wording.
   * False for kinds that a cluster would get as a CRD: merge patch only, CRD wording.
   */
  readonly builtin: boolean;
  /** Schema of the whole object (apiVersion, kind and metadata may be left out: they are added). */
  readonly schema: Schema;
  readonly subresources?: {
    readonly status?: true;
    /** CertificateSigningRequests alone: a part of the status that needs a permission of its own to write. */
    readonly approval?: true;
    /** JSON paths as in a CRD's scale subresource. */
    readonly scale?: {
      readonly specReplicas: string;
      readonly statusReplicas: string;
      readonly labelSelector?: string;
    };
  };
  /**
   * Columns after Name. Every list ends with Age unless it is named here. Columns that name `Name` themselves are the
   * whole table (Event, Role).
   */
  readonly columns: readonly Column[];
  /** Row for `columns` where JSONPath cannot say it (Pod's Status…). `now` is milliseconds since the epoch. */
  cells?(object: T, now: number): Cell[];
  /** The columns are all there is: no Age is added. */
  readonly columnsComplete?: true;
  /** Paths, past name and namespace, that field selectors may ask for: `spec.color`. */
  readonly selectableFields?: readonly string[];
  /** Said in a `Warning` header of every answer: a version that will go. */
  readonly warning?: string;
  /** Finalizers that a deletion puts on the object: work that its own controller does before it may go. */
  readonly deletionFinalizers?: readonly string[];
  /**
   * Set for kinds that are older than garbage collection: a deletion that names no propagation policy leaves the
   * dependents. `warning` tells the client so.
   */
  readonly orphansByDefault?: { readonly warning?: string };
  /** Set where the resource has several versions. */
  readonly conversion?: Conversion;
  /**
   * Custom resources: the version of the store at which the schema came to be what it is. Objects that were written before
   * are brought into its form when they are read.
   */
  readonly schemaSince?: number;
  /** Labels that the CRD object of a non-builtin kind carries (duck types). */
  readonly crdLabels?: { readonly [key: string]: string };
  /** Fills defaults beyond the schema's `default`s and sets server-owned members. Mutates its argument. */
  mutate?(object: T, context: AdmissionContext): void;
  /** Finds faults beyond the schema's. Pure. */
  validate?(object: T, context: AdmissionContext): readonly Issue[];
  /**
   * Words a refusal as an admission webhook would (status 400 BadRequest) instead of a 422 Invalid.
   * Knative kinds use it: `admission webhook "validation.webhook.serving.knative.dev" denied the request: …`.
   */
  readonly denial?: (issues: readonly Issue[]) => string;
  /** Set false for kinds whose generation never moves (ConfigMap, Event…). Default true. */
  readonly tracksGeneration?: boolean;
  /** Phantom: carries T; never set. */
  readonly _type?: T;
}

/** How the versions of one resource are kept as one. */
export interface Conversion {
  /** The definition whose objects the store keeps. Its group may be another (events). A function: versions refer to each other. */
  readonly stored: () => ResourceDef;
  /**
   * The objects as `to` has them, in the same order, each a value of its own: an input may be frozen. An object may have
   * any version that was ever stored. Throws an ApiError; a promise only where somebody else is asked.
   */
  convert(
    objects: readonly UntypedObject[],
    to: ResourceDef,
  ): readonly UntypedObject[] | Promise<readonly UntypedObject[]>;
}

/** The definition whose objects the store keeps: the definition itself unless its resource has several versions. */
export function storedAs(def: ResourceDef): ResourceDef {
  return def.conversion?.stored() ?? def;
}

/** The object type that a schema constant describes. */
export type ObjectOf<S extends Schema> = KubeObject & Infer<S>;

/** Fills in listKind and singular, and ties the definition to the type of its schema. */
export function defineResource<const S extends Schema>(
  def: Omit<ResourceDef<ObjectOf<S>>, 'listKind' | 'singular' | 'schema'> & {
    schema: S;
    listKind?: string;
    singular?: string;
  },
): ResourceDef<ObjectOf<S>> {
  return { listKind: `${def.kind}List`, singular: def.kind.toLowerCase(), ...def };
}

/** `v1` or `serving.knative.dev/v1`. */
export function apiVersionOf(def: { group: string; version: string }): string {
  return def.group ? `${def.group}/${def.version}` : def.version;
}

/** `pods` or `services.serving.knative.dev`: the name used in messages and as the CRD's name. */
export function qualifiedName(def: { group: string; plural: string }): string {
  return def.group ? `${def.plural}.${def.group}` : def.plural;
}
