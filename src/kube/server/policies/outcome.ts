/** What the findings of all policies mean for a request: refusal, warnings, annotations (…/policy/validating/dispatcher.go). */
import { qualifiedName, type ResourceDef } from '../../../api/resource.ts';
import { ApiError, reasonCodes, type StatusReason } from '../../api-error.ts';
import type { Findings } from './compiled-policy.ts';
import type { ConfiguredBinding, ConfiguredPolicy } from './configured.ts';

/** Bytes of a value in the audit log. */
const maxAnnotation = 10 * 1024;
const failureAnnotation = 'validation.policy.admission.k8s.io/validation_failure';

interface Denial {
  readonly policy: string;
  readonly binding: string | undefined;
  readonly message: string;
  readonly reason: string | undefined;
}

/** Gathers findings in the order in which policies and bindings were asked. */
export class Outcome {
  readonly warnings = new Set<string>();
  readonly #denials: Denial[] = [];
  readonly #annotate: (key: string, value: string) => void;
  readonly #values = new Map<string, string[]>();

  /** `annotate` adds to what the audit log says of the request. */
  constructor(annotate: (key: string, value: string) => void) {
    this.#annotate = annotate;
  }

  add(policy: ConfiguredPolicy, binding: ConfiguredBinding, findings: Findings): void {
    const { validationActions = [] } = binding.spec;
    for (const { index, message, reason } of findings.failures) {
      for (const action of validationActions) {
        if (action === 'Deny') this.#deny(policy, binding, message, reason);
        else if (action === 'Warn') {
          this.warnings.add(
            `Validation failed for ValidatingAdmissionPolicy '${policy.name}' with binding '${binding.name}': ${message}`,
          );
        } else if (action === 'Audit') {
          const value = {
            message,
            policy: policy.name,
            binding: binding.name,
            expressionIndex: index,
            validationActions,
          };
          this.#annotate(failureAnnotation, JSON.stringify([value]));
        }
      }
    }
    for (const message of findings.refusals) this.#deny(policy, binding, message);
    for (const { key, value } of findings.annotations) {
      const full = `${policy.name}/${key}`;
      const values = this.#values.get(full) ?? [];
      const text = Buffer.from(value).subarray(0, maxAnnotation).toString();
      if (!values.includes(text)) this.#values.set(full, [...values, text]);
    }
  }

  /** What is configured cannot be carried out: the failure policy decides, whatever the binding's actions are. */
  misconfigured(policy: ConfiguredPolicy, binding: ConfiguredBinding | undefined, why: string): void {
    if (policy.failsOpen) return;
    this.#deny(policy, binding, `failed to configure ${binding ? 'binding' : 'policy'}: ${why}`);
  }

  /** Writes the annotations down. Throws the first refusal: 422, or what the rule's reason says. */
  settle(def: ResourceDef, name: string): void {
    for (const [key, values] of this.#values) this.#annotate(key, values.join(', '));
    const [denial] = this.#denials;
    if (denial) throw refusal(def, name, denial);
  }

  #deny(
    policy: ConfiguredPolicy,
    binding: ConfiguredBinding | undefined,
    message: string,
    reason?: string,
  ): void {
    this.#denials.push({ policy: policy.name, binding: binding?.name, message, reason });
  }
}

function refusal(def: ResourceDef, name: string, { policy, binding, message, reason }: Denial): ApiError {
  const who = `ValidatingAdmissionPolicy '${policy}'${binding === undefined ? '' : ` with binding '${binding}'`}`;
  const text = `${who} denied request: ${message}`;
  const known = (['Forbidden', 'RequestEntityTooLarge'] as const).find((word) => word === reason);
  const status: StatusReason = known ?? 'Invalid';
  return new ApiError(
    status,
    `${qualifiedName(def)} ${JSON.stringify(name)} is forbidden: ${text}`,
    {
      ...(name ? { name } : {}),
      ...(def.group ? { group: def.group } : {}),
      kind: def.plural,
      causes: [{ message: text }],
    },
    reasonCodes[status],
  );
}
