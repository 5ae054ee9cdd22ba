/** Acting as someone else (`kubectl --as`): kubernetes apiserver `filters/impersonation`. */
import type { IncomingMessage } from 'node:http';
import { ApiError } from '../../api-error.ts';
import type { ResourceAttributes } from '../authorization/attributes.ts';
import type { Authorizer } from '../authorization/authorizer.ts';
import {
  anonymous,
  authenticatedGroup,
  parseServiceAccountUser,
  serviceAccountGroups,
  unauthenticatedGroup,
  type User,
} from './user.ts';

const extraPrefix = 'impersonate-extra-';

type Headers = IncomingMessage['headersDistinct'];

/**
 * Whom the request asks to be taken for; undefined when it does not ask. Throws 403 when the user may not be them, one
 * permission for each name, group, uid and extra value, and 400 when there is no name among the headers.
 */
export function impersonated(request: IncomingMessage, user: User, authorizer: Authorizer): User | undefined {
  if (!Object.keys(request.headers).some((name) => name.startsWith('impersonate-'))) return undefined;
  const headers = request.headersDistinct;
  const name = headers['impersonate-user']?.[0] ?? '';
  const groups = (headers['impersonate-group'] ?? []).filter((group) => group !== '');
  const uid = headers['impersonate-uid']?.[0] ?? '';
  const extra = readExtra(headers);
  if (name === '') {
    if (groups.length === 0 && uid === '' && Object.keys(extra).length === 0) return undefined;
    throw new ApiError('BadRequest', 'groups, uid and extra are impersonated together with a user name only');
  }
  const account = parseServiceAccountUser(name);
  const may = (attributes: Partial<ResourceAttributes>): string =>
    authorizer.check(user, { ...impersonate, ...attributes });
  if (account) may({ resource: 'serviceaccounts', namespace: account.namespace, name: account.name });
  else may({ resource: 'users', name });
  for (const group of groups) may({ resource: 'groups', name: group });
  for (const [key, values] of Object.entries(extra)) {
    for (const value of values) {
      may({ group: 'authentication.k8s.io', resource: 'userextras', subresource: key, name: value });
    }
  }
  if (uid !== '') may({ group: 'authentication.k8s.io', resource: 'uids', name: uid });
  const given = groups.length === 0 && account ? serviceAccountGroups(account.namespace) : groups;
  return {
    name,
    groups: completeGroups(name, given),
    ...(uid === '' ? {} : { uid }),
    ...(Object.keys(extra).length > 0 ? { extra } : {}),
  };
}

const impersonate: ResourceAttributes = {
  verb: 'impersonate',
  group: '',
  version: 'v1',
  resource: '',
  subresource: '',
  namespace: '',
  name: '',
};

/** Everyone is either authenticated or not, whatever groups were asked for. */
function completeGroups(name: string, groups: readonly string[]): string[] {
  if (groups.includes(authenticatedGroup) || groups.includes(unauthenticatedGroup)) return [...groups];
  return [...groups, name === anonymous.name ? unauthenticatedGroup : authenticatedGroup];
}

/** `Impersonate-Extra-<percent-encoded key>: value`, once a value. */
function readExtra(headers: Headers): Record<string, string[]> {
  const extra: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const [name, values] of Object.entries(headers)) {
    if (!name.startsWith(extraPrefix) || !values) continue;
    const key = decode(name.slice(extraPrefix.length));
    extra[key] = [...(extra[key] ?? []), ...values];
  }
  return extra;
}

/** A key that is not percent-encoded as it should be is taken as it stands. */
function decode(key: string): string {
  try {
    return decodeURIComponent(key).toLowerCase();
  } catch {
    return key;
  }
}
