/** What a request asks leave for (kubernetes apiserver `authorizer.Attributes` and `request.RequestInfo`). Pure. */
import { flag } from '../options.ts';
import type { User } from '../authentication/user.ts';
import { selectedName } from '../service/selectors.ts';

/** A verb on a resource. Absent names are empty, as RBAC compares them. */
export interface ResourceAttributes {
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  /** Empty: cluster-scoped, or all namespaces. */
  readonly namespace: string;
  /** Empty: the collection. */
  readonly name: string;
}

/** A method, in lower case, on any other path. */
export interface PathAttributes {
  readonly verb: string;
  readonly path: string;
}

export type Attributes = ResourceAttributes | PathAttributes;

export const isPathAttributes = (attributes: Attributes): attributes is PathAttributes =>
  'path' in attributes;

const methodVerbs: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

const namespaceSubresources = new Set(['status', 'finalize']);

/**
 * What a request is about. `segments` are those of the decoded path, as the router sees them: the two must never
 * disagree about what is asked for.
 */
export function attributesOf(
  method: string,
  segments: readonly string[],
  query: URLSearchParams,
): Attributes {
  const [root, ...rest] = segments;
  const isCore = root === 'api' && rest.length >= 2;
  const isNamed = root === 'apis' && rest.length >= 3;
  if (!isCore && !isNamed) return { verb: method.toLowerCase(), path: `/${segments.join('/')}` };
  const [group = '', version = '', ...parts] = isCore ? ['', ...rest] : rest;
  const isScoped = parts[0] === 'namespaces' && parts.length > 1;
  const isInside = isScoped && parts.length > 2 && !namespaceSubresources.has(parts[2] ?? '');
  const [resource = '', name = '', subresource = ''] = isInside ? parts.slice(2) : parts;
  const base = { group, version, resource, subresource, namespace: isScoped ? (parts[1] ?? '') : '' };
  const verb = methodVerbs[method] ?? '';
  if (verb === 'get' && subresource === '' && flag(query, 'watch')) {
    return { ...base, verb: 'watch', name: name || nameIn(query) };
  }
  if (name !== '') return { ...base, verb, name };
  if (verb === 'get') return { ...base, verb: 'list', name: nameIn(query) };
  return { ...base, verb: verb === 'delete' ? 'deletecollection' : verb, name };
}

/** A collection narrowed to one name is as good as that name: a grant for it suffices. */
function nameIn(query: URLSearchParams): string {
  return selectedName(query.get('fieldSelector') ?? '');
}

/** The refusal in kube-apiserver's words, without the object that they are about. */
export function describeRefusal(user: User, attributes: Attributes): string {
  const who = `User ${JSON.stringify(user.name)} cannot ${attributes.verb}`;
  if (isPathAttributes(attributes)) return `${who} path ${JSON.stringify(attributes.path)}`;
  const { group, resource, subresource, namespace } = attributes;
  const what = subresource ? `${resource}/${subresource}` : resource;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`;
  return `${who} resource ${JSON.stringify(what)} in API group ${JSON.stringify(group)} ${where}`;
}
