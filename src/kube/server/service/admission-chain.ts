/** The stages that a write passes, in kube-apiserver's order, around the one look at the store that counts. */
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import type { AdmissionContext, ResourceDef } from '../../../api/resource.ts';
import { applySchema, readObject } from './admission.ts';
import type { AdmissionAttributes, AdmissionPlugin, Readmission, WebhookStage } from './admission-plugin.ts';
import { setManagedFields, type Entries } from './ownership/ownership.ts';
import type { Reads } from './reads.ts';
import type { Requester } from './requests.ts';
import { UsageTotals } from './usage-totals.ts';

/** What is known of a write before its object is. */
export type Pending = Pick<
  AdmissionAttributes,
  'operation' | 'subresource' | 'dryRun' | 'now' | 'old' | 'warn'
>;

export class AdmissionChain {
  readonly plugins: readonly AdmissionPlugin[];
  readonly webhooks: WebhookStage | undefined;
  readonly #reads: Reads;
  readonly #serviceRange: string | undefined;

  readonly usage: UsageTotals;

  /** What admission may look at: the newest objects, durable or not, as the write that follows comes after them. */
  readonly view = <T extends KubeObject>(def: ResourceDef<T>, namespace?: string): T[] =>
    this.#reads.table(def).objects(namespace) as T[];

  constructor(options: {
    readonly reads: Reads;
    readonly plugins: readonly AdmissionPlugin[];
    readonly webhooks: WebhookStage | undefined;
    readonly serviceRange: string | undefined;
  }) {
    this.#reads = options.reads;
    this.usage = new UsageTotals((def) => this.#reads.table(def));
    this.plugins = options.plugins;
    this.webhooks = options.webhooks;
    this.#serviceRange = options.serviceRange;
  }

  /**
   * The kind's defaults and the mutating plugins, in place. A promise when webhooks want to have a say. In between it is
   * written down who owns what: what plugins and webhooks add belongs to nobody, as in Kubernetes.
   */
  mutate(
    def: ResourceDef,
    object: UntypedObject,
    pending: Pending,
    requester: Requester,
    owners: (object: UntypedObject) => Entries,
  ): ReturnType<WebhookStage['mutate']> | undefined {
    def.mutate?.(object, this.context(pending, requester));
    setManagedFields(object, owners(object));
    this.#mutateInProcess(def, object, pending, requester);
    return this.mutateByWebhooks(def, object, pending, requester);
  }

  #mutateInProcess(def: ResourceDef, object: UntypedObject, pending: Pending, requester: Requester): void {
    if (this.plugins.length === 0) return;
    const attributes = this.#attributes(def, object, pending, requester);
    for (const plugin of this.plugins) plugin.mutate?.(attributes);
    for (const plugin of this.plugins) plugin.prepare?.(attributes);
  }

  /** What the server itself says of an object that webhooks have changed, in place. */
  prepare(def: ResourceDef, object: UntypedObject, pending: Pending, requester: Requester): void {
    def.mutate?.(object, this.context(pending, requester));
    const attributes = this.#attributes(def, object, pending, requester);
    for (const plugin of this.plugins) plugin.prepare?.(attributes);
  }

  mutateByWebhooks(
    def: ResourceDef,
    object: UntypedObject | undefined,
    pending: Pending,
    requester: Requester,
  ): ReturnType<WebhookStage['mutate']> | undefined {
    const webhooks = this.webhooks;
    if (!webhooks) return undefined;
    const attributes = this.#attributes(def, object, pending, requester);
    if (!webhooks.concerns('mutating', attributes)) return undefined;
    const readmission: Readmission = {
      normalize: (changed) => {
        const next = this.readBack(def, changed);
        def.mutate?.(next, this.context(pending, requester));
        return next;
      },
      again: (changed) => this.#mutateInProcess(def, changed, pending, requester),
    };
    return webhooks.mutate(attributes, readmission);
  }

  /** What webhooks made of an object, in form again. */
  readBack(def: ResourceDef, object: unknown): UntypedObject {
    const next = readObject(def, object);
    applySchema(def, next, 'Ignore');
    return next;
  }

  validate(
    def: ResourceDef,
    object: UntypedObject | undefined,
    pending: Pending,
    requester: Requester,
  ): ReturnType<WebhookStage['validate']> | undefined {
    if (!this.webhooks) return undefined;
    const attributes = this.#attributes(def, object, pending, requester);
    return this.webhooks.concerns('validating', attributes) ? this.webhooks.validate(attributes) : undefined;
  }

  validateInProcess(
    def: ResourceDef,
    object: UntypedObject | undefined,
    pending: Pending,
    requester: Requester,
  ): void {
    if (this.plugins.length === 0) return;
    const attributes = this.#attributes(def, object, pending, requester);
    for (const plugin of this.plugins) plugin.validate?.(attributes);
  }

  context(pending: Pending, requester: Requester): AdmissionContext {
    const { operation, subresource, dryRun, now, old } = pending;
    return {
      operation: operation === 'CREATE' ? 'CREATE' : 'UPDATE',
      user: requester.user,
      ...(requester.groups ? { groups: requester.groups } : {}),
      dryRun,
      now,
      stored: this.view,
      ...(old ? { old } : {}),
      ...(subresource ? { subresource } : {}),
      ...(this.#serviceRange === undefined ? {} : { serviceRange: this.#serviceRange }),
    };
  }

  #attributes(
    def: ResourceDef,
    object: UntypedObject | undefined,
    pending: Pending,
    requester: Requester,
  ): AdmissionAttributes {
    const { user, groups, uid, extra } = requester;
    const { name = '', namespace } = (object ?? pending.old)?.metadata ?? {};
    return {
      ...pending,
      user,
      ...(groups ? { groups } : {}),
      ...(uid ? { uid } : {}),
      ...(extra ? { extra } : {}),
      def,
      name,
      namespace,
      object,
      request: requester,
      stored: this.view,
      usage: this.usage,
    };
  }
}
