/**
 * Where a write may be changed or refused beyond what its kind says: plugins of this process, and webhooks. The order is
 * kube-apiserver's: the kind's defaults, mutating plugins, mutating webhooks, the kind's checks, validating webhooks,
 * validating plugins (of which quota must be last: it counts what is about to be stored).
 */
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import type { ResourceSource } from '../../resource-registry.ts';
import type { DeleteRequest, Requester, WriteRequest } from './requests.ts';
import type { UsageTotals } from './usage-totals.ts';

/** A write on its way to the store. */
export interface AdmissionAttributes extends Requester {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly def: ResourceDef;
  readonly name: string;
  /** Undefined on cluster-scoped objects. */
  readonly namespace: string | undefined;
  readonly subresource: string | undefined;
  readonly dryRun: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Tells the client something that does not keep the write from happening. */
  readonly warn: (text: string) => void;
  /** What would be stored; undefined on DELETE. Mutating plugins change it in place. */
  readonly object: UntypedObject | undefined;
  /** What is stored; undefined on CREATE and CONNECT. Frozen. */
  readonly old: KubeObject | undefined;
  /** The options of the request, as far as admission may want to see them. */
  readonly request: Requester & Partial<Omit<WriteRequest & DeleteRequest, 'subresource'>>;
  /**
   * The newest objects of another resource, of one namespace or of all, durable or not: the write that follows comes after
   * them.
   */
  readonly stored: <T extends KubeObject>(def: ResourceDef<T>, namespace?: string) => Iterable<T>;
  /** What those objects use together, as quotas count. */
  readonly usage: UsageTotals;
}

/**
 * A decision taken in this process. All methods are synchronous on purpose: nothing may come between the last look at
 * the store and the write. They refuse by throwing an ApiError.
 */
export interface AdmissionPlugin {
  readonly name: string;
  mutate?(attributes: AdmissionAttributes): void;
  /**
   * Sets, in place, what is the server's own to say. Runs after {@link mutate}, and after the webhooks once more: nothing
   * that they make of it is kept (apiserver `PrepareForCreate`).
   */
  prepare?(attributes: AdmissionAttributes): void;
  /** Gets the object as it will be stored; must not change it. May be called again when a webhook was asked meanwhile. */
  validate?(attributes: AdmissionAttributes): void;
}

/** What the pipeline does with an object that a webhook has changed, before the next one sees it. */
export interface Readmission {
  /** The object in form again: decoded, pruned, defaulted. A value of its own. Throws ApiError. */
  readonly normalize: (object: unknown) => UntypedObject;
  /** The mutating plugins of this process once more, in place. */
  readonly again: (object: UntypedObject) => void;
}

/** Decisions taken elsewhere. A write that concerns no webhook pays for one look, and stays synchronous. */
export interface WebhookStage {
  /** Tells once what is served: a webhook for one version of a resource is asked about writes of the others. */
  start?(served: Pick<ResourceSource, 'resources'>): void;
  /** Whether any webhook of the kind would be asked. */
  concerns(stage: 'mutating' | 'validating', attributes: AdmissionAttributes): boolean;
  /**
   * The object that the webhooks make of `attributes.object` (a value of its own; undefined on DELETE), and warnings.
   * Throws ApiError.
   */
  mutate(
    attributes: AdmissionAttributes,
    readmission: Readmission,
  ): Promise<{ readonly object: unknown; readonly warnings: readonly string[] }>;
  /** Warnings. Throws ApiError. */
  validate(attributes: AdmissionAttributes): Promise<readonly string[]>;
}
