/** APIServices (apiregistration.k8s.io/v1): which group versions there are, for tools that look here. All are local. */
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf, type ResourceDef } from '../../api/resource.ts';
import type { ApiCatalog } from './catalog.ts';

interface ApiService extends KubeObject {
  readonly spec: { readonly group?: string; readonly version: string };
}

export const apiServices: ResourceDef<ApiService> = {
  group: 'apiregistration.k8s.io',
  version: 'v1',
  kind: 'APIService',
  listKind: 'APIServiceList',
  plural: 'apiservices',
  singular: 'apiservice',
  categories: ['api-extensions'],
  namespaced: false,
  builtin: true,
  schema: {
    type: 'object',
    description: 'A group version of this API.',
    properties: {
      spec: {
        type: 'object',
        properties: {
          group: { type: 'string', description: 'The group; absent for the core group.' },
          version: { type: 'string', description: 'The version of the group.' },
          groupPriorityMinimum: {
            type: 'integer',
            format: 'int32',
            description: 'Higher groups come first.',
          },
          versionPriority: { type: 'integer', format: 'int32', description: 'Higher versions come first.' },
        },
      },
      status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    },
  },
  columns: [
    { name: 'Service', type: 'string' },
    { name: 'Available', type: 'string' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  cells: ({ metadata }) => ['Local', 'True', metadata.creationTimestamp ?? ''],
};

/** As kube-apiserver orders its own. */
const corePriority = 18_000;
const groupPriority = 17_000;
const customPriority = 1000;

/** One object a group version that is served now. `created` is RFC 3339. */
export function makeApiServices(catalog: ApiCatalog, created: string): KubeObject[] {
  return catalog.groups
    .flatMap(({ name, versions }) =>
      versions.map(({ version, resources }, i) => {
        const isCustom = resources.every((def) => !def.builtin);
        return makeApiService(name, version, isCustom, versions.length - i, created);
      }),
    )
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

function makeApiService(
  group: string,
  version: string,
  isCustom: boolean,
  rank: number,
  created: string,
): KubeObject {
  const name = `${version}.${group}`;
  const priority = group === '' ? corePriority : isCustom ? customPriority : groupPriority;
  const object = {
    apiVersion: apiVersionOf(apiServices),
    kind: apiServices.kind,
    metadata: {
      name,
      uid: `apiservice-${name}`,
      resourceVersion: '1',
      creationTimestamp: created,
      labels: { 'kube-aggregator.kubernetes.io/automanaged': isCustom ? 'true' : 'onstart' },
    },
    spec: {
      ...(group === '' ? {} : { group }),
      version,
      groupPriorityMinimum: priority,
      versionPriority: rank,
    },
    status: {
      conditions: [
        {
          type: 'Available',
          status: 'True',
          lastTransitionTime: created,
          reason: 'Local',
          message: 'Local APIServices are always available',
        },
      ],
    },
  };
  return object;
}
