/** Who asks, as authentication found out (kubernetes apiserver `user.Info`). */

export interface User {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  /** Further facts by lower-case name, e.g. the pod that a token is bound to. */
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export const authenticatedGroup = 'system:authenticated';
export const unauthenticatedGroup = 'system:unauthenticated';
/** Its members may do everything, whatever roles say. */
export const mastersGroup = 'system:masters';

export const anonymous: User = { name: 'system:anonymous', groups: [unauthenticatedGroup] };

/** The member of `extra` that tells one credential of a user from another, for the audit log. */
export const credentialIdKey = 'authentication.kubernetes.io/credential-id';

const serviceAccountPrefix = 'system:serviceaccount:';

/** `system:serviceaccount:<namespace>:<name>`. */
export function serviceAccountUser(namespace: string, name: string): string {
  return `${serviceAccountPrefix}${namespace}:${name}`;
}

/** Namespace and name of a service account's user name; undefined for any other user. */
export function parseServiceAccountUser(user: string): { namespace: string; name: string } | undefined {
  if (!user.startsWith(serviceAccountPrefix)) return undefined;
  const [namespace, name, ...rest] = user.slice(serviceAccountPrefix.length).split(':');
  return namespace && name && rest.length === 0 ? { namespace, name } : undefined;
}

/** The groups of every service account of the namespace, without `system:authenticated`. */
export function serviceAccountGroups(namespace: string): string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`];
}

/** `authentication.k8s.io/v1` UserInfo. */
export function userInfo({ name, uid, groups, extra }: User): object {
  return {
    username: name,
    ...(uid === undefined ? {} : { uid }),
    groups,
    ...(extra && Object.keys(extra).length > 0 ? { extra } : {}),
  };
}
