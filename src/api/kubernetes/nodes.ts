/** The Node resource. */
import { ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';

export type Node = KubernetesObject<'core.v1.Node'>;

const rolePrefix = 'node-role.kubernetes.io/';

function roles(node: Node): string {
  const names = Object.keys(node.metadata.labels ?? {})
    .filter((label) => label.startsWith(rolePrefix) && label.length > rolePrefix.length)
    .map((label) => label.slice(rolePrefix.length));
  return names.length ? names.sort().join(',') : '<none>';
}

function readiness(node: Node): string {
  const ready = node.status?.conditions?.find((c) => c.type === 'Ready');
  const word = ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown';
  return node.spec?.unschedulable ? `${word},SchedulingDisabled` : word;
}

function address(node: Node, type: string): string {
  return node.status?.addresses?.find((entry) => entry.type === type)?.address ?? '<none>';
}

export const nodes = kubernetesResource('core.v1.Node', {
  plural: 'nodes',
  shortNames: ['no'],
  namespaced: false,
  subresources: { status: true },
  tracksGeneration: false,
  columns: [
    column('Status'),
    column('Roles'),
    ageColumn,
    column('Version'),
    column('Internal-IP', 'wide'),
    column('External-IP', 'wide'),
    column('OS-Image', 'wide'),
    column('Kernel-Version', 'wide'),
    column('Container-Runtime', 'wide'),
  ],
  cells: (node, now) => {
    const info = node.status?.nodeInfo;
    return [
      readiness(node),
      roles(node),
      ageOf(node, now),
      info?.kubeletVersion ?? '',
      address(node, 'InternalIP'),
      address(node, 'ExternalIP'),
      info?.osImage || '<unknown>',
      info?.kernelVersion || '<unknown>',
      info?.containerRuntimeVersion || '<unknown>',
    ];
  },
});
