/**
 * Istio's ServiceEntry, which old manifests of Knative bring along to let a mesh's pods out. Here nothing keeps them in: it
 * is stored, and that is all.
 */
import { alikeVersions } from '../alike-versions.ts';
import { defineResource, type ObjectOf, type ResourceDef } from '../resource.ts';

const strings = { type: 'array', items: { type: 'string' } } as const;
const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } as const;

const schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      'x-kubernetes-preserve-unknown-fields': true,
      properties: {
        hosts: { ...strings, minItems: 1, maxItems: 256 },
        addresses: strings,
        exportTo: strings,
        subjectAltNames: strings,
        location: { type: 'string', enum: ['MESH_EXTERNAL', 'MESH_INTERNAL'] },
        resolution: { type: 'string', enum: ['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS'] },
        ports: {
          type: 'array',
          items: {
            type: 'object',
            'x-kubernetes-preserve-unknown-fields': true,
            properties: {
              number: { type: 'integer', minimum: 1, maximum: 65535 },
              name: { type: 'string' },
              protocol: { type: 'string' },
            },
            required: ['number', 'name'],
          },
        },
        endpoints: { type: 'array', items: open },
      },
      required: ['hosts'],
    },
    status: open,
  },
  required: ['spec'],
} as const;

export type ServiceEntry = ObjectOf<typeof schema>;

function version(name: string): ResourceDef<ServiceEntry> {
  return defineResource({
    group: 'networking.istio.io',
    version: name,
    kind: 'ServiceEntry',
    plural: 'serviceentries',
    listKind: 'ServiceEntryList',
    shortNames: ['se'],
    categories: ['istio-io', 'networking-istio-io'],
    namespaced: true,
    builtin: false,
    subresources: { status: true },
    columns: [
      { name: 'Hosts', type: 'string', jsonPath: '.spec.hosts' },
      { name: 'Location', type: 'string', jsonPath: '.spec.location' },
      { name: 'Resolution', type: 'string', jsonPath: '.spec.resolution' },
    ],
    schema,
    conversion: alikeVersions(() => serviceEntries),
  });
}

export const serviceEntries = version('v1');

/** The stored version first. */
export const istioResources: readonly ResourceDef[] = [
  serviceEntries,
  version('v1beta1'),
  version('v1alpha3'),
];
