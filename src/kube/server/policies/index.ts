/** ValidatingAdmissionPolicies: the stage of the write pipeline that asks rules in CEL. */
import type { KubeObject } from '../../../api/object.ts';
import { storedAs, type ResourceDef } from '../../../api/resource.ts';
import { messageOf } from '../../../base/errors.ts';
import type { ResourceSource } from '../../resource-registry.ts';
import type { Store } from '../../store/store.ts';
import { CelCompileError, type AccessSource, type AdmissionInput } from '../cel/index.ts';
import type { AdmissionAttributes, Readmission, WebhookStage } from '../service/admission-plugin.ts';
import { isNamespace } from '../service/deletion.ts';
import { accessOf, isExempt, namespaceOf, storedNamespace, type Siblings } from '../webhooks/match.ts';
import { makeReviewRequest, shownObject } from '../webhooks/review.ts';
import type { CompiledPolicy } from './compiled-policy.ts';
import { PolicyConfigurations, type ConfiguredBinding, type ConfiguredPolicy } from './configured.ts';
import { matchedAs } from './match.ts';
import { Outcome } from './outcome.ts';
import { collectParams, ConfigurationError } from './params.ts';

export interface AdmissionPoliciesOptions {
  /** Where the policies are. */
  readonly store: Store;
  /** Answers what expressions ask `authorizer`. */
  readonly access: AccessSource;
}

/** What validating policies need to know of the webhooks that are asked after them. */
type Webhooks = Pick<WebhookStage, 'start' | 'concerns' | 'mutate' | 'validate'>;

/** The policies in force, and after them the webhooks: where a policy refuses, no webhook is asked. */
export class AdmissionPolicies implements WebhookStage {
  readonly #configurations: PolicyConfigurations;
  readonly #access: AccessSource;
  readonly #webhooks: Webhooks;
  #served: Pick<ResourceSource, 'resources'> = { resources: [] };
  readonly #siblings: Siblings = (def) =>
    this.#served.resources.filter((other) => other !== def && storedAs(other) === storedAs(def));

  constructor({ store, access }: AdmissionPoliciesOptions, webhooks: Webhooks) {
    this.#configurations = new PolicyConfigurations(store);
    this.#access = access;
    this.#webhooks = webhooks;
  }

  start(served: Pick<ResourceSource, 'resources'>): void {
    this.#served = served;
    this.#webhooks.start?.(served);
  }

  concerns(stage: 'mutating' | 'validating', attributes: AdmissionAttributes): boolean {
    return (
      (stage === 'validating' && this.#hasRules(attributes)) || this.#webhooks.concerns(stage, attributes)
    );
  }

  mutate(attributes: AdmissionAttributes, readmission: Readmission): ReturnType<WebhookStage['mutate']> {
    return this.#webhooks.mutate(attributes, readmission);
  }

  async validate(attributes: AdmissionAttributes): Promise<readonly string[]> {
    const warnings = this.#hasRules(attributes) ? await this.#ask(attributes) : [];
    if (!this.#webhooks.concerns('validating', attributes)) return warnings;
    return [...warnings, ...(await this.#webhooks.validate(attributes))];
  }

  #hasRules(attributes: AdmissionAttributes): boolean {
    const policies = this.#configurations.current();
    if (policies.length === 0 || isExempt(attributes)) return false;
    return policies.some(
      ({ spec }) =>
        spec.matchConstraints && matchedAs(spec.matchConstraints, attributes, this.#siblings) !== undefined,
    );
  }

  /** Warnings. Throws ApiError. */
  async #ask(attributes: AdmissionAttributes): Promise<string[]> {
    const outcome = new Outcome((key, value) => attributes.request.annotate?.(key, value));
    for (const policy of this.#configurations.current()) {
      const { matchConstraints } = policy.spec;
      const as = matchConstraints && matchedAs(matchConstraints, attributes, this.#siblings);
      if (!as) continue;
      let compiled: CompiledPolicy;
      try {
        compiled = policy.compiled();
      } catch (error) {
        if (!(error instanceof CelCompileError)) throw error;
        outcome.misconfigured(policy, undefined, error.message);
        continue;
      }
      for (const binding of policy.bindings) {
        const { matchResources } = binding.spec;
        if (matchResources && !matchedAs(matchResources, attributes, this.#siblings)) continue;
        await this.#askWith(policy, compiled, binding, as, attributes, outcome);
      }
    }
    outcome.settle(attributes.def, attributes.name);
    return [...outcome.warnings];
  }

  async #askWith(
    policy: ConfiguredPolicy,
    compiled: CompiledPolicy,
    binding: ConfiguredBinding,
    as: ResourceDef,
    attributes: AdmissionAttributes,
    outcome: Outcome,
  ): Promise<void> {
    let params: readonly (KubeObject | null)[];
    let input: AdmissionInput;
    try {
      params = await collectParams(policy.spec.paramKind, binding.spec.paramRef, attributes, this.#served);
      input = await this.#input(attributes, as);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      outcome.misconfigured(policy, binding, messageOf(error));
      return;
    }
    for (const param of params) {
      outcome.add(policy, binding, compiled.evaluate({ ...input, params: param }));
    }
  }

  async #input(attributes: AdmissionAttributes, as: ResourceDef): Promise<AdmissionInput> {
    const { def } = attributes;
    const namespace = namespaceOf(attributes);
    return {
      object: await shownObject(attributes, as, attributes.object),
      oldObject: await shownObject(attributes, as, attributes.old),
      request: makeReviewRequest(attributes, as),
      namespaceObject:
        namespace === undefined || isNamespace(def) ? null : storedNamespace(attributes.stored, namespace),
      access: accessOf(this.#access, attributes),
    };
  }
}
