/**
 * Whether somebody may do something, asked from an expression (apiserver pkg/cel/library/authz):
 * `authorizer.group('apps').resource('deployments').namespace('shop').check('create').allowed()`.
 */
import { dnsLabelFault, dnsSubdomainFault } from '../../../../api/kubernetes/names.ts';
import { serviceAccountGroups, serviceAccountUser, type User } from '../../authentication/user.ts';
import type { Attributes, ResourceAttributes } from '../../authorization/attributes.ts';
import type { Decision } from '../../authorization/authorizer.ts';
import { bool, opaque, string } from '../types.ts';
import { Opaque } from '../values.ts';
import { fail, method, type Overload } from './signature.ts';

/** Decides what expressions ask. */
export interface AccessSource {
  decide(user: User, attributes: Attributes): Decision;
}

/** The resource that a request is about. */
export type RequestResource = Omit<ResourceAttributes, 'verb' | 'version'>;

const names = {
  authorizer: 'kubernetes.authorization.Authorizer',
  path: 'kubernetes.authorization.PathCheck',
  group: 'kubernetes.authorization.GroupCheck',
  resource: 'kubernetes.authorization.ResourceCheck',
  decision: 'kubernetes.authorization.Decision',
} as const;

export const authorizerType = opaque(names.authorizer);
export const resourceCheckType = opaque(names.resource);
const pathCheckType = opaque(names.path);
const groupCheckType = opaque(names.group);
const decisionType = opaque(names.decision);

interface Asker {
  readonly access: AccessSource;
  readonly user: User;
}
interface PathCheck extends Asker {
  readonly path: string;
}
interface GroupCheck extends Asker {
  readonly group: string;
}
interface ResourceCheck extends Asker {
  readonly about: RequestResource;
}

type Of<T> = Opaque & { readonly value: T };

/** Nothing of these can be compared: each is like itself alone. */
function make<T>(name: string, value: T): Of<T> {
  return new Opaque(name, value, (other) => other.value === value) as Of<T>;
}

/** The value of the variable `authorizer`: asks for the user of the request. */
export function authorizerValue(access: AccessSource, user: User): Opaque {
  return make<Asker>(names.authorizer, { access, user });
}

/** The value of `authorizer.requestResource`. */
export function requestResourceValue(access: AccessSource, user: User, about: RequestResource): Opaque {
  return make<ResourceCheck>(names.resource, { access, user, about });
}

/** Units that one question costs: as kube-apiserver prices it, so that an expression may ask twice. */
const checkCost = 350_000;
const question = { cost: () => checkCost };

function present(text: string, what: string): string {
  return text.trim() === '' ? fail(`${what} must not be empty`) : text;
}

function serviceAccount(namespace: string, name: string): User {
  if (dnsSubdomainFault(name)) return fail('Invalid service account name');
  if (dnsLabelFault(namespace)) return fail('Invalid service account namespace');
  return { name: serviceAccountUser(namespace, name), groups: serviceAccountGroups(namespace) };
}

function narrowed(name: 'subresource' | 'namespace' | 'name'): Overload {
  return method(
    name,
    [resourceCheckType, string],
    resourceCheckType,
    ([check, text]: readonly [Of<ResourceCheck>, string]) =>
      make<ResourceCheck>(names.resource, { ...check.value, about: { ...check.value.about, [name]: text } }),
  );
}

/** Roles know no selectors: what is allowed is allowed with any. */
function selecting(name: 'fieldSelector' | 'labelSelector'): Overload {
  return method(
    name,
    [resourceCheckType, string],
    resourceCheckType,
    ([check]: readonly [Of<ResourceCheck>]) => check,
  );
}

export const authorizerFunctions: readonly Overload[] = [
  method('path', [authorizerType, string], pathCheckType, ([asker, path]: readonly [Of<Asker>, string]) =>
    make<PathCheck>(names.path, { ...asker.value, path: present(path, 'path') }),
  ),
  method('group', [authorizerType, string], groupCheckType, ([asker, group]: readonly [Of<Asker>, string]) =>
    make<GroupCheck>(names.group, { ...asker.value, group }),
  ),
  method(
    'serviceAccount',
    [authorizerType, string, string],
    authorizerType,
    ([{ value }, namespace, name]: readonly [Of<Asker>, string, string]) =>
      authorizerValue(value.access, serviceAccount(namespace, name)),
  ),
  method(
    'resource',
    [groupCheckType, string],
    resourceCheckType,
    ([{ value }, resource]: readonly [Of<GroupCheck>, string]) =>
      requestResourceValue(value.access, value.user, {
        group: value.group,
        resource: present(resource, 'resource'),
        subresource: '',
        namespace: '',
        name: '',
      }),
  ),
  narrowed('subresource'),
  narrowed('namespace'),
  narrowed('name'),
  selecting('fieldSelector'),
  selecting('labelSelector'),
  method(
    'check',
    [pathCheckType, string],
    decisionType,
    ([{ value }, verb]: readonly [Of<PathCheck>, string]) =>
      make(names.decision, value.access.decide(value.user, { verb, path: value.path })),
    question,
  ),
  method(
    'check',
    [resourceCheckType, string],
    decisionType,
    ([{ value }, verb]: readonly [Of<ResourceCheck>, string]) =>
      make(names.decision, value.access.decide(value.user, { ...value.about, verb, version: '*' })),
    question,
  ),
  method('allowed', [decisionType], bool, ([decision]: readonly [Of<Decision>]) => decision.value.allowed),
  method('reason', [decisionType], string, ([decision]: readonly [Of<Decision>]) => decision.value.reason),
  // Roles are looked up in memory, which does not fail.
  method('errored', [decisionType], bool, () => false),
  method('error', [decisionType], string, () => ''),
];
