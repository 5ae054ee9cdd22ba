/** Whether a user may do something: by role-based access control, after `system:masters` (kubernetes plugin/pkg/auth/authorizer/rbac). */
import { ApiError } from '../../api-error.ts';
import { mastersGroup, type User } from '../authentication/user.ts';
import { describeRefusal, isPathAttributes, type Attributes } from './attributes.ts';
import type { Grant, RoleIndex } from './role-index.ts';
import { ruleAllows, type PolicyRule } from './rules.ts';

export interface Decision {
  readonly allowed: boolean;
  /** Which binding allows it, or which bindings lead nowhere; may be empty. */
  readonly reason: string;
}

/** What a user may do, and the roles that are missing. */
export interface HeldRules {
  readonly rules: readonly PolicyRule[];
  readonly errors: readonly string[];
}

const everything: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

export class Authorizer {
  readonly #index: RoleIndex;

  constructor(index: RoleIndex) {
    this.#index = index;
  }

  decide(user: User, attributes: Attributes): Decision {
    if (user.groups.includes(mastersGroup)) return { allowed: true, reason: '' };
    const namespace = isPathAttributes(attributes) ? '' : attributes.namespace;
    const missing = new Set<string>();
    for (const grant of this.#index.grants(user, namespace)) {
      const rules = this.#rules(grant, missing);
      if (rules.some((rule) => ruleAllows(rule, attributes))) {
        return { allowed: true, reason: `RBAC: allowed by ${describeGrant(grant)}` };
      }
    }
    return { allowed: false, reason: missing.size > 0 ? `RBAC: ${listed([...missing])}` : '' };
  }

  /** Throws 403 in kube-apiserver's words; else tells why it is allowed. */
  check(user: User, attributes: Attributes): string {
    const { allowed, reason } = this.decide(user, attributes);
    if (!allowed) throw forbidden(user, attributes, reason);
    return reason;
  }

  /** All that the user holds in the namespace, or cluster-wide when it is empty. */
  rules(user: User, namespace: string): HeldRules {
    if (user.groups.includes(mastersGroup)) return { rules: everything, errors: [] };
    const missing = new Set<string>();
    const rules: PolicyRule[] = [];
    for (const grant of this.#index.grants(user, namespace)) rules.push(...this.#rules(grant, missing));
    return { rules, errors: [...missing] };
  }

  /** Rules of the role that a binding in `namespace` refers to; undefined when it does not exist. */
  rulesOf(...ref: Parameters<RoleIndex['rulesOf']>): readonly PolicyRule[] | undefined {
    return this.#index.rulesOf(...ref);
  }

  #rules({ binding }: Grant, missing: Set<string>): readonly PolicyRule[] {
    const { roleRef, metadata } = binding;
    const rules = this.#index.rulesOf(roleRef, metadata.namespace ?? '');
    if (!rules) {
      const kind = roleRef.kind.toLowerCase();
      missing.add(`${kind}.rbac.authorization.k8s.io ${JSON.stringify(roleRef.name)} not found`);
    }
    return rules ?? [];
  }
}

function describeGrant({ binding, subject }: Grant): string {
  const { roleRef, metadata } = binding;
  const where = metadata.namespace ? `${metadata.name}/${metadata.namespace}` : metadata.name;
  const kind = metadata.namespace ? 'RoleBinding' : 'ClusterRoleBinding';
  const who =
    subject.kind === 'ServiceAccount'
      ? `${subject.name}/${subject.namespace || metadata.namespace}`
      : subject.name;
  return `${kind} ${JSON.stringify(where)} of ${roleRef.kind} ${JSON.stringify(roleRef.name)} to ${subject.kind} ${JSON.stringify(who)}`;
}

/** Several errors as Go's error aggregates show them. */
function listed(errors: readonly string[]): string {
  return errors.length === 1 ? errors.join('') : `[${errors.join(', ')}]`;
}

/** 403 for what the user may not do. */
export function forbidden(user: User, attributes: Attributes, reason: string): ApiError {
  const text = `${describeRefusal(user, attributes)}${reason && `: ${reason}`}`;
  if (isPathAttributes(attributes)) return new ApiError('Forbidden', `forbidden: ${text}`);
  const { group, resource, name } = attributes;
  const qualified = group ? `${resource}.${group}` : resource;
  const object = name ? `${qualified} ${JSON.stringify(name)}` : qualified;
  return new ApiError('Forbidden', `${object} is forbidden: ${text}`, {
    ...(name ? { name } : {}),
    ...(group ? { group } : {}),
    kind: resource,
  });
}
