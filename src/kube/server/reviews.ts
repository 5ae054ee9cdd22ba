/** Questions about the asker (`kubectl auth can-i`, `auth whoami`): posted, answered, kept nowhere. */
import { apiVersionOf, type ResourceDef } from '../../api/resource.ts';
import { isMembers } from '../../api/structural-members.ts';
import type { User } from './auth.ts';

/** The answer to a posted review: the question with its status. */
export type Review = (body: unknown, user: User) => object;

function reviewResource(
  group: string,
  kind: string,
  ref: 'authorization.v1' | 'authentication.v1',
  statusOf: (user: User) => object,
): [ResourceDef, Review] {
  const def = {
    group,
    version: 'v1',
    kind,
    listKind: `${kind}List`,
    plural: `${kind.toLowerCase()}s`,
    singular: kind.toLowerCase(),
    namespaced: false,
    builtin: true,
    // Every kind below has its type among the Kubernetes facts.
    schema: { $ref: `${ref}.${kind}` as NonNullable<ResourceDef['schema']['$ref']> },
    columns: [],
  } satisfies ResourceDef;
  const review: Review = (body, user) => {
    const spec = isMembers(body) && isMembers(body['spec']) ? { spec: body['spec'] } : {};
    return { kind, apiVersion: apiVersionOf(def), metadata: {}, ...spec, status: statusOf(user) };
  };
  return [def, review];
}

/** Whoever gets this far may do everything: see `authorize`. */
const everything = ['*'];

export const reviews: ReadonlyMap<ResourceDef, Review> = new Map([
  reviewResource('authorization.k8s.io', 'SelfSubjectAccessReview', 'authorization.v1', () => ({
    allowed: true,
  })),
  reviewResource('authorization.k8s.io', 'SelfSubjectRulesReview', 'authorization.v1', () => ({
    incomplete: false,
    resourceRules: [{ verbs: everything, apiGroups: everything, resources: everything }],
    nonResourceRules: [{ verbs: everything, nonResourceURLs: everything }],
  })),
  reviewResource('authentication.k8s.io', 'SelfSubjectReview', 'authentication.v1', ({ name, groups }) => ({
    userInfo: { username: name, groups },
  })),
]);
