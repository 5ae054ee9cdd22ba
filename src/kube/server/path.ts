/** What a URL path of the resource API names. Pure. */
import type { ResourceDef } from '../../api/resource.ts';
import type { ApiCatalog } from './catalog.ts';

export interface ResourcePath {
  readonly def: ResourceDef;
  readonly namespace?: string;
  /** Absent: the collection. */
  readonly name?: string;
  readonly subresource?: string;
}

/** The decoded segments of a path, or undefined when its escapes are malformed. Empty segments are kept out. */
export function splitPath(path: string): string[] | undefined {
  try {
    return path.split('/').filter(Boolean).map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

/**
 * Resolves `/api/v1/…` and `/apis/{group}/{version}/…`. Undefined: nothing is served there. A namespace object itself
 * is `/api/v1/namespaces/{name}`; longer paths below that are its contents unless they end in its subresources.
 */
export function resolveResourcePath(
  catalog: ApiCatalog,
  segments: readonly string[],
): ResourcePath | undefined {
  const [root, ...rest] = segments;
  const core = root === 'api';
  if (!core && root !== 'apis') return undefined;
  const apiVersion = core ? rest[0] : rest.slice(0, 2).join('/');
  const parts = rest.slice(core ? 1 : 2);
  if (apiVersion === undefined || parts.length === 0) return undefined;
  const own = core && parts[0] === 'namespaces' && (parts.length <= 2 || isNamespaceSubresource(parts));
  const isScoped = parts[0] === 'namespaces' && !own && parts.length >= 3;
  const namespace = isScoped ? parts[1] : undefined;
  const [plural = '', name, subresource, ...extra] = isScoped ? parts.slice(2) : parts;
  // What follows is a path of somebody else's.
  const isOpen = subresource === 'proxy';
  const read = rest.slice(0, rest.length - extra.length);
  // An escaped slash would make one thing of what authorization saw as another: `/api/apps%2Fv1/…` is not the core group.
  if (read.some((part) => part.includes('/'))) return undefined;
  const def = catalog.resource(apiVersion, plural);
  if (!def || (extra.length > 0 && !isOpen)) return undefined;
  if (isScoped !== def.namespaced && (isScoped || name !== undefined)) return undefined;
  return {
    def,
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(subresource === undefined ? {} : { subresource }),
  };
}

/** Whether a path is in the core group, or in another of Kubernetes' own: those say themselves what they do not have. */
export function isGroupServed(catalog: ApiCatalog, [root, group = '']: readonly string[]): boolean {
  if (root === 'api') return true;
  const versions = root === 'apis' ? (catalog.group(group)?.versions ?? []) : [];
  return versions.some(({ resources }) => resources.some(({ builtin }) => builtin));
}

function isNamespaceSubresource(parts: readonly string[]): boolean {
  return parts.length === 3 && (parts[2] === 'status' || parts[2] === 'finalize');
}
