/** The shape of a review: a question that is posted, answered and kept nowhere. */
import type { ObjectTypeName } from '../../../api/kubernetes/define.ts';
import { apiVersionOf, type ResourceDef } from '../../../api/resource.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError } from '../../api-error.ts';
import type { User } from '../authentication/user.ts';

export interface Question {
  /** The posted object's `spec`; its members are of any type. */
  readonly spec: Readonly<Record<string, unknown>>;
  readonly user: User;
  /** Of the path; undefined on cluster-scoped reviews. */
  readonly namespace: string | undefined;
}

/** The answer to a posted review: the question with its status. Throws ApiError. */
export type Review = (body: unknown, asker: Omit<Question, 'spec'>) => object;

/** A review as a resource of the API; `answer` gives its status. */
export function reviewResource(
  type: ObjectTypeName,
  group: string,
  answer: (question: Question) => object,
  options: { readonly namespaced?: boolean } = {},
): [ResourceDef, Review] {
  const [, version = '', kind = ''] = type.split('.');
  const def: ResourceDef = {
    group,
    version,
    kind,
    listKind: `${kind}List`,
    plural: `${kind.toLowerCase()}s`,
    singular: kind.toLowerCase(),
    namespaced: options.namespaced ?? false,
    builtin: true,
    schema: { $ref: type },
    columns: [],
  };
  const review: Review = (body, asker) => {
    const object = isMembers(body) ? body : {};
    const { kind: given } = object;
    if (given !== undefined && given !== '' && given !== kind) {
      throw new ApiError(
        'BadRequest',
        `the kind in the data (${JSON.stringify(given)}) does not match the expected kind (${kind})`,
      );
    }
    const spec = isMembers(object['spec']) ? object['spec'] : undefined;
    const status = answer({ ...asker, spec: spec ?? {} });
    const metadata = asker.namespace === undefined ? {} : { namespace: asker.namespace };
    return { kind, apiVersion: apiVersionOf(def), metadata, ...(spec ? { spec } : {}), status };
  };
  return [def, review];
}

/** 422 in the words of a kind's own validation. */
export function invalidReview(kind: string, group: string, field: string, message: string): ApiError {
  return new ApiError('Invalid', `${kind}.${group} "" is invalid: ${field}: ${message}`, {
    group,
    kind,
    causes: [{ reason: 'FieldValueInvalid', message, field }],
  });
}

/** The member as text; empty for anything else. */
export function text(members: Readonly<Record<string, unknown>>, name: string): string {
  const value = members[name];
  return typeof value === 'string' ? value : '';
}

/** The member as a list of texts; other items are left out. */
export function texts(members: Readonly<Record<string, unknown>>, name: string): string[] {
  const value = members[name];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
