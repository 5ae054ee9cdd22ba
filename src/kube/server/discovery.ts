/** Discovery documents: what `kubectl api-resources` reads, in the legacy and the aggregated form. */
import { createHash } from 'node:crypto';
import { storedAs, type ResourceDef } from '../../api/resource.ts';
import type { ApiCatalog, ApiGroup, GroupVersion } from './catalog.ts';

/** `GET /api`. `address` is what the client dialled, `host:port`. */
export function makeApiVersions(address: string): object {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
  };
}

/** `GET /apis`. */
export function makeGroupList(catalog: ApiCatalog): object {
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: catalog.groups.filter((group) => group.name !== '').map(groupMembers),
  };
}

/** `GET /apis/{group}`. */
export function makeGroup(group: ApiGroup): object {
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupMembers(group) };
}

function groupMembers(group: ApiGroup): object {
  const versions = group.versions.map(({ apiVersion, version }) => ({ groupVersion: apiVersion, version }));
  return { name: group.name, versions, preferredVersion: versions[0] };
}

/** `GET /api/v1` and `GET /apis/{group}/{version}`. */
export function makeResourceList(catalog: ApiCatalog, groupVersion: GroupVersion): object {
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: groupVersion.apiVersion,
    resources: groupVersion.resources.flatMap((def) => [
      {
        name: def.plural,
        singularName: def.singular,
        namespaced: def.namespaced,
        kind: def.kind,
        verbs: catalog.verbs(def),
        ...names(def),
        ...(catalog.isStored(def) ? { storageVersionHash: storageVersionHash(def) } : {}),
      },
      ...catalog.subresources(def).map(({ name, verbs, kind }) => ({
        name: `${def.plural}/${name}`,
        singularName: '',
        namespaced: def.namespaced,
        ...(kind.group === def.group ? {} : { group: kind.group, version: kind.version }),
        kind: kind.kind,
        verbs,
      })),
    ]),
  };
}

/** Changes when objects are stored in another version. As apiserver pkg/endpoints/discovery derives it. */
function storageVersionHash(def: ResourceDef): string {
  const { group, version, kind } = storedAs(def);
  const digest = createHash('sha256').update(`${group}/${version}/${kind}`).digest();
  return digest.subarray(0, 8).toString('base64');
}

function names(def: ResourceDef): object {
  return {
    ...(def.shortNames?.length ? { shortNames: def.shortNames } : {}),
    ...(def.categories?.length ? { categories: def.categories } : {}),
  };
}

/**
 * Aggregated discovery (apidiscovery.k8s.io): the core group alone for `GET /api`, all others for `GET /apis`.
 * `version` is `v2` or `v2beta1`; the two have the same members.
 */
export function makeAggregated(catalog: ApiCatalog, scope: 'core' | 'named', version: string): object {
  const groups = catalog.groups.filter((group) => (group.name === '') === (scope === 'core'));
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map((group) => ({
      metadata: { name: group.name, creationTimestamp: null },
      versions: group.versions.map((groupVersion) => ({
        version: groupVersion.version,
        resources: groupVersion.resources.map((def) => aggregatedResource(catalog, def)),
        freshness: 'Current',
      })),
    })),
  };
}

function aggregatedResource(catalog: ApiCatalog, def: ResourceDef): object {
  const subresources = catalog.subresources(def);
  return {
    resource: def.plural,
    responseKind: { group: def.group, version: def.version, kind: def.kind },
    scope: def.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: def.singular,
    verbs: catalog.verbs(def),
    ...names(def),
    ...(subresources.length
      ? {
          subresources: subresources.map(({ name, verbs, kind }) => ({
            subresource: name,
            responseKind: kind,
            verbs,
          })),
        }
      : {}),
  };
}
