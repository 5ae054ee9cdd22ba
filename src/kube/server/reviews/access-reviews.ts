/** `authorization.k8s.io/v1`: may someone do something (`kubectl auth can-i`, and servers that delegate the question). */
import type { ResourceDef } from '../../../api/resource.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError } from '../../api-error.ts';
import type { User } from '../authentication/user.ts';
import type { Attributes } from '../authorization/attributes.ts';
import type { Authorizer } from '../authorization/authorizer.ts';
import { invalidReview, reviewResource, text, texts, type Question, type Review } from './review.ts';

const group = 'authorization.k8s.io';

export function accessReviews(authorizer: Authorizer): (readonly [ResourceDef, Review])[] {
  const decide = (user: User, attributes: Attributes): object => {
    const { allowed, reason } = authorizer.decide(user, attributes);
    return { allowed, ...(reason ? { reason } : {}) };
  };
  return [
    reviewResource('authorization.v1.SelfSubjectAccessReview', group, ({ spec, user }) =>
      decide(user, readAttributes('SelfSubjectAccessReview', spec)),
    ),
    reviewResource('authorization.v1.SubjectAccessReview', group, ({ spec }) =>
      decide(readSubject('SubjectAccessReview', spec), readAttributes('SubjectAccessReview', spec)),
    ),
    reviewResource(
      'authorization.v1.LocalSubjectAccessReview',
      group,
      (question) => decide(...readLocal(question)),
      { namespaced: true },
    ),
    reviewResource('authorization.v1.SelfSubjectRulesReview', group, (question) =>
      heldRules(authorizer, question),
    ),
  ];
}

function readAttributes(kind: string, spec: Question['spec']): Attributes {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (isMembers(resourceAttributes) === isMembers(nonResourceAttributes)) {
    const message = isMembers(resourceAttributes)
      ? 'Invalid value: cannot be specified in combination with resourceAttributes'
      : 'Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified';
    const field = isMembers(resourceAttributes) ? 'spec.nonResourceAttributes' : 'spec.resourceAttributes';
    throw invalidReview(kind, group, field, message);
  }
  if (isMembers(nonResourceAttributes)) {
    return { verb: text(nonResourceAttributes, 'verb'), path: text(nonResourceAttributes, 'path') };
  }
  const asked = isMembers(resourceAttributes) ? resourceAttributes : {};
  return {
    verb: text(asked, 'verb'),
    group: text(asked, 'group'),
    version: text(asked, 'version'),
    resource: text(asked, 'resource'),
    subresource: text(asked, 'subresource'),
    namespace: text(asked, 'namespace'),
    name: text(asked, 'name'),
  };
}

function readSubject(kind: string, spec: Question['spec']): User {
  const name = text(spec, 'user');
  const groups = texts(spec, 'groups');
  if (name === '' && groups.length === 0) {
    const message = 'Invalid value: "": at least one of user or group must be specified';
    throw invalidReview(kind, group, 'spec.user', message);
  }
  return { name, groups };
}

function readLocal({ spec, namespace = '' }: Question): [User, Attributes] {
  const kind = 'LocalSubjectAccessReview';
  const subject = readSubject(kind, spec);
  const attributes = readAttributes(kind, spec);
  if ('path' in attributes) {
    const message = 'Invalid value: null: disallowed on this kind of request';
    throw invalidReview(kind, group, 'spec.nonResourceAttributes', message);
  }
  if (attributes.namespace !== namespace) {
    throw new ApiError('BadRequest', `spec.resourceAttributes.namespace must match namespace: ${namespace}`);
  }
  return [subject, attributes];
}

function heldRules(authorizer: Authorizer, { spec, user }: Question): object {
  const namespace = text(spec, 'namespace');
  if (namespace === '') throw new ApiError('BadRequest', 'no namespace on request');
  const { rules, errors } = authorizer.rules(user, namespace);
  return {
    resourceRules: rules
      .filter(({ resources }) => resources?.length)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        apiGroups,
        resources,
        ...(resourceNames?.length ? { resourceNames } : {}),
      })),
    nonResourceRules: rules
      .filter(({ nonResourceURLs }) => nonResourceURLs?.length)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: errors.length > 0,
    ...(errors.length > 0 ? { evaluationError: errors.join(', ') } : {}),
  };
}
