/**
 * Nobody grants what they do not hold: whoever writes a role or a binding must hold its rules, or the verb `escalate` on
 * the role, or `bind` on the role that is bound (kubernetes pkg/registry/rbac, policybased storage).
 */
import {
  clusterRoleBindings,
  clusterRoles,
  roleBindings,
  roles,
  type ClusterRole,
  type RoleBinding,
} from '../../../api/kubernetes/index.ts';
import type { UntypedObject } from '../../../api/object.ts';
import { deepEqual } from '../../../base/json.ts';
import { ApiError } from '../../api-error.ts';
import { mastersGroup, type User } from '../authentication/user.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../service/admission-plugin.ts';
import { forbidden } from '../service/errors.ts';
import type { ResourceAttributes } from './attributes.ts';
import type { Authorizer } from './authorizer.ts';
import { compactRules, describeRule, permissionCount, uncovered, type PolicyRule } from './rules.ts';

const group = 'rbac.authorization.k8s.io';

/** What is needed to gather the rules of roles that do not exist yet. */
const fullAuthority: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

/** Permissions that are looked at one by one: a small role may make billions, which nobody could hold in memory. */
const maxPermissions = 20_000;

/** Concerns users alone: the platform's own parts come without groups, and are trusted. */
export function escalationPlugin(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'RoleEscalation',
    validate(attributes) {
      const { def, object, groups } = attributes;
      if (def.group !== group || !object || !groups || groups.includes(mastersGroup)) return;
      if (attributes.old && isCollection(attributes.old as UntypedObject, object)) return;
      const user: User = { name: attributes.user, groups };
      if (def.plural === roles.plural || def.plural === clusterRoles.plural) {
        checkRole(authorizer, user, attributes, object);
      } else if (def.plural === roleBindings.plural || def.plural === clusterRoleBindings.plural) {
        checkBinding(authorizer, user, attributes, object);
      }
    },
  };
}

/** Whether the update changes nothing but what garbage collection writes. */
function isCollection(old: UntypedObject, next: UntypedObject): boolean {
  const rest = ({ metadata, ...members }: UntypedObject): object => {
    const { finalizers: _f, ownerReferences: _o, managedFields: _m, resourceVersion: _r, ...kept } = metadata;
    return { ...members, metadata: kept };
  };
  return deepEqual(rest(old), rest(next));
}

function may(
  authorizer: Authorizer,
  user: User,
  asked: Pick<ResourceAttributes, 'verb' | 'resource' | 'name' | 'namespace'>,
): boolean {
  return authorizer.decide(user, { group, version: 'v1', subresource: '', ...asked }).allowed;
}

function checkRole(
  authorizer: Authorizer,
  user: User,
  { def, name, namespace = '', old }: AdmissionAttributes,
  object: UntypedObject,
): void {
  if (may(authorizer, user, { verb: 'escalate', resource: def.plural, name, namespace })) return;
  const role: ClusterRole = object;
  const before: ClusterRole | undefined = old;
  const missing = missingRights(authorizer, user, namespace, role.rules ?? []);
  if (missing !== undefined) throw forbidden(def, name, missing);
  const gathers = role.aggregationRule ?? before?.aggregationRule;
  const missingForAll = gathers && missingRights(authorizer, user, namespace, fullAuthority);
  if (missingForAll !== undefined) {
    throw forbidden(
      def,
      name,
      `must have cluster-admin privileges to use an aggregationRule: ${missingForAll}`,
    );
  }
}

function checkBinding(
  authorizer: Authorizer,
  user: User,
  { def, name, namespace = '' }: AdmissionAttributes,
  object: UntypedObject,
): void {
  const { roleRef } = object as unknown as RoleBinding;
  const isClusterRole = roleRef.kind === 'ClusterRole';
  const resource = isClusterRole ? clusterRoles.plural : roles.plural;
  if (may(authorizer, user, { verb: 'bind', resource, name: roleRef.name, namespace })) return;
  const rules = authorizer.rulesOf(roleRef, namespace);
  if (!rules) {
    throw new ApiError('NotFound', `${resource}.${group} ${JSON.stringify(roleRef.name)} not found`, {
      name: roleRef.name,
      group,
      kind: resource,
    });
  }
  const missing = missingRights(authorizer, user, namespace, rules);
  if (missing !== undefined) throw forbidden(def, name, missing);
}

/** What the user lacks, in kube-apiserver's words; undefined when they hold it all. */
function missingRights(
  authorizer: Authorizer,
  user: User,
  namespace: string,
  wanted: readonly PolicyRule[],
): string | undefined {
  const held = authorizer.rules(user, namespace);
  // Who holds everything need not be asked about each.
  if (uncovered(held.rules, fullAuthority).length === 0) return undefined;
  const count = permissionCount(wanted);
  if (count > maxPermissions) {
    return `the rules make ${count} permissions, of which ${maxPermissions} at most can be compared with those of user ${JSON.stringify(user.name)}`;
  }
  const missing = uncovered(held.rules, wanted);
  if (missing.length === 0) return undefined;
  const lines = compactRules(missing).map(describeRule).sort();
  const groups = user.groups.map((name) => JSON.stringify(name)).join(' ');
  const errors = held.errors.length > 0 ? `; resolution errors: [${held.errors.join(', ')}]` : '';
  return `user ${JSON.stringify(user.name)} (groups=[${groups}]) is attempting to grant RBAC permissions not currently held:\n${lines.join('\n')}${errors}`;
}
