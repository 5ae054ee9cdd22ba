/** The policies that are in force: read from the store on every look, compiled once a version. */
import {
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  type PolicyBindingSpec,
  type PolicySpec,
  type ValidatingAdmissionPolicy,
  type ValidatingAdmissionPolicyBinding,
} from '../../../api/kubernetes/admission-policies.ts';
import { qualifiedName } from '../../../api/resource.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { CompiledPolicy } from './compiled-policy.ts';

export interface ConfiguredBinding {
  readonly name: string;
  readonly spec: PolicyBindingSpec;
}

export class ConfiguredPolicy {
  readonly name: string;
  readonly spec: PolicySpec;
  readonly bindings: readonly ConfiguredBinding[];
  readonly #compile: () => CompiledPolicy;

  constructor(
    { metadata, spec = {} }: ValidatingAdmissionPolicy,
    bindings: readonly ConfiguredBinding[],
    compile: () => CompiledPolicy,
  ) {
    this.name = metadata.name;
    this.spec = spec;
    this.bindings = bindings;
    this.#compile = compile;
  }

  get failsOpen(): boolean {
    return this.spec.failurePolicy === 'Ignore';
  }

  /** Throws CelCompileError, which only an object of an older version can have. */
  compiled(): CompiledPolicy {
    return this.#compile();
  }
}

/** Policies that no binding speaks of are not in force, and not here. */
export class PolicyConfigurations {
  readonly #policies: Table;
  readonly #bindings: Table;
  readonly #compiled = new WeakMap<object, CompiledPolicy>();
  #policyVersion = -1;
  #bindingVersion = -1;
  #current: readonly ConfiguredPolicy[] = [];

  constructor(store: Store) {
    this.#policies = store.table(qualifiedName(validatingAdmissionPolicies));
    this.#bindings = store.table(qualifiedName(validatingAdmissionPolicyBindings));
  }

  /** By name. As of the newest write, durable or not: what is decided now is stored after it. */
  current(): readonly ConfiguredPolicy[] {
    const [policies, bindings] = [this.#policies.lastWrite, this.#bindings.lastWrite];
    if (policies !== this.#policyVersion || bindings !== this.#bindingVersion) {
      this.#current = this.#read();
      this.#policyVersion = policies;
      this.#bindingVersion = bindings;
    }
    return this.#current;
  }

  #read(): ConfiguredPolicy[] {
    const bindings = new Map<string, ConfiguredBinding[]>();
    for (const { object } of this.#bindings.records()) {
      const { metadata, spec = {} } = object as ValidatingAdmissionPolicyBinding;
      const list = bindings.get(spec.policyName ?? '');
      const binding = { name: metadata.name, spec };
      if (list) list.push(binding);
      else bindings.set(spec.policyName ?? '', [binding]);
    }
    return this.#policies.records().flatMap(({ object }) => {
      const policy = object as ValidatingAdmissionPolicy;
      const own = bindings.get(policy.metadata.name);
      if (!own) return [];
      return [new ConfiguredPolicy(policy, own, () => this.#compile(policy))];
    });
  }

  #compile(policy: ValidatingAdmissionPolicy): CompiledPolicy {
    let compiled = this.#compiled.get(policy);
    if (!compiled) {
      compiled = new CompiledPolicy(policy.spec ?? {});
      this.#compiled.set(policy, compiled);
    }
    return compiled;
  }
}
