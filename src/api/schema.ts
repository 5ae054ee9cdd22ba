/**
 * Structural schemas: the one source of an object's shape. The same constant gives the TypeScript type (`Infer`) and,
 * at run time, defaulting, pruning, validation, OpenAPI and CRD documents.
 * Vocabulary: apiextensions.k8s.io/v1 JSONSchemaProps, plus `$ref` to a Kubernetes type by its short name
 * (`core.v1.PodSpec`), which the Kubernetes facts resolve.
 */
import type { Json } from '../base/json.ts';
import type { KubernetesTypes } from './generated/kubernetes-types.ts';

/** One rule of `x-kubernetes-validations`, as apiextensions.k8s.io/v1 has it. */
export interface ValidationRule {
  /** CEL over `self`, and `oldSelf` in rules about a change. */
  readonly rule: string;
  readonly message?: string;
  /** CEL that gives the message; wins over `message`. */
  readonly messageExpression?: string;
  readonly reason?: string;
  /** Where the fault is shown, relative to the rule's place: `.spec.name`. */
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

export interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly $ref?: keyof KubernetesTypes;
  readonly title?: string;
  readonly description?: string;
  readonly example?: Json;
  readonly externalDocs?: { readonly description?: string; readonly url?: string };
  readonly format?: string;
  readonly properties?: { readonly [name: string]: Schema };
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly Json[];
  readonly default?: Json;
  readonly nullable?: boolean;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly uniqueItems?: boolean;
  /** What a value must satisfy besides; these say nothing about which members exist. */
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: true;
  readonly 'x-kubernetes-int-or-string'?: true;
  readonly 'x-kubernetes-embedded-resource'?: true;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
  /** Strategic merge patch: key of list items, and strategy (built-in kinds only). */
  readonly 'x-kubernetes-patch-merge-key'?: string;
  readonly 'x-kubernetes-patch-strategy'?: string;
}

type Simplify<T> = { [K in keyof T]: T[K] };

type InferProperties<P, R extends string> = Simplify<
  { [K in Extract<keyof P, R>]: Infer<P[K]> } & { [K in Exclude<keyof P, R>]?: Infer<P[K]> }
>;

/** The TypeScript type of the values that a schema admits. Members are optional unless `required` lists them. */
export type Infer<S> = S extends { enum: readonly (infer E)[] }
  ? E
  : S extends { $ref: infer R extends keyof KubernetesTypes }
    ? KubernetesTypes[R]
    : S extends { 'x-kubernetes-int-or-string': true }
      ? number | string
      : S extends { type: 'string' }
        ? string
        : S extends { type: 'integer' } | { type: 'number' }
          ? number
          : S extends { type: 'boolean' }
            ? boolean
            : S extends { type: 'array'; items: infer I }
              ? Infer<I>[]
              : S extends { properties: infer P; required: readonly (infer R extends string)[] }
                ? InferProperties<P, R>
                : S extends { properties: infer P }
                  ? InferProperties<P, never>
                  : S extends { additionalProperties: infer A }
                    ? { [key: string]: Infer<A> }
                    : S extends { type: 'object' }
                      ? { [key: string]: unknown }
                      : unknown;
