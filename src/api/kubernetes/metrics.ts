/** What pods and the node use now: metrics.k8s.io. Measured when asked for, never stored. */
import type { ObjectOf, ResourceDef } from '../resource.ts';
import { column, nameColumn } from './cells.ts';
import { parseQuantity } from './quantity.ts';

const usage = { type: 'object', additionalProperties: { type: 'string' } } as const;

const measured = {
  /** RFC 3339: the end of the window. */
  timestamp: { type: 'string' },
  /** Go duration over which CPU was averaged, e.g. `15.02s`. */
  window: { type: 'string' },
} as const;

const nodeSchema = {
  type: 'object',
  properties: { ...measured, usage },
  required: ['timestamp', 'window', 'usage'],
} as const;

const podSchema = {
  type: 'object',
  properties: {
    ...measured,
    containers: {
      type: 'array',
      items: {
        type: 'object',
        properties: { name: { type: 'string' }, usage },
        required: ['name', 'usage'],
      },
    },
  },
  required: ['timestamp', 'window', 'containers'],
} as const;

export type NodeMetrics = ObjectOf<typeof nodeSchema>;
export type PodMetrics = ObjectOf<typeof podSchema>;
type Usage = NodeMetrics['usage'];

export const metricsGroupVersion = { group: 'metrics.k8s.io', version: 'v1beta1' } as const;

const columns = [nameColumn, column('CPU'), column('Memory'), column('Window')];

export const nodeMetrics: ResourceDef<NodeMetrics> = {
  ...metricsGroupVersion,
  kind: 'NodeMetrics',
  listKind: 'NodeMetricsList',
  plural: 'nodes',
  singular: '',
  namespaced: false,
  builtin: true,
  schema: nodeSchema,
  columns,
  cells: ({ metadata, usage: used, window }) => [
    metadata.name,
    used['cpu'] ?? '',
    used['memory'] ?? '',
    window,
  ],
};

export const podMetrics: ResourceDef<PodMetrics> = {
  ...metricsGroupVersion,
  kind: 'PodMetrics',
  listKind: 'PodMetricsList',
  plural: 'pods',
  singular: '',
  namespaced: true,
  builtin: true,
  schema: podSchema,
  columns,
  cells({ metadata, containers, window }) {
    const total = sumUsage(containers.map((container) => container.usage));
    return [metadata.name, total['cpu'] ?? '', total['memory'] ?? '', window];
  },
};

/** Where the figures come from: the node agent. */
export interface MetricsSource {
  /** Running pods that have been measured. May take a second when nobody has asked for a while. */
  pods(): Promise<readonly PodMetrics[]>;
  nodes(): Promise<readonly NodeMetrics[]>;
}

/** `cpu` in cores, `memory` in bytes, in the notation of a metrics server: nanocores and KiB. */
export function makeUsage(cores: number, memoryBytes: number): Usage {
  return { cpu: `${Math.max(0, Math.round(cores * 1e9))}n`, memory: `${Math.ceil(memoryBytes / 1024)}Ki` };
}

function sumUsage(list: readonly Usage[]): Usage {
  const sum = (name: string): number =>
    list.reduce((total, one) => total + (parseQuantity(one[name] ?? '0') ?? 0), 0);
  return makeUsage(sum('cpu'), sum('memory'));
}
