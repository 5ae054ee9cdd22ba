/** Kubernetes' own kinds that the embedded API serves. */
import type { ResourceDef } from '../resource.ts';
import { validatingAdmissionPolicies, validatingAdmissionPolicyBindings } from './admission-policies.ts';
import { horizontalPodAutoscalers, horizontalPodAutoscalersV1 } from './autoscaling.ts';
import { cronJobs, jobs } from './batch.ts';
import { certificateSigningRequests } from './certificates.ts';
import { configMaps, namespaces, podTemplates, secrets, serviceAccounts } from './core.ts';
import { podDisruptionBudgets } from './disruption-budgets.ts';
import { events } from './events.ts';
import { eventsV1 } from './events-v1.ts';
import { flowSchemas, priorityLevelConfigurations } from './flow-control.ts';
import { ingressClasses, ingresses } from './ingress.ts';
import { leases } from './leases.ts';
import { limitRanges } from './limit-ranges.ts';
import { networkPolicies } from './network-policies.ts';
import { nodes } from './nodes.ts';
import { pods } from './pods.ts';
import { priorityClasses } from './priority-classes.ts';
import { resourceQuotas } from './quotas.ts';
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from './rbac.ts';
import { runtimeClasses } from './runtime-classes.ts';
import { endpoints, endpointSlices, services } from './services.ts';
import { persistentVolumeClaims, persistentVolumes, storageClasses } from './storage.ts';
import { csiDrivers, csiNodes, csiStorageCapacities, volumeAttachments } from './storage-drivers.ts';
import { mutatingWebhookConfigurations, validatingWebhookConfigurations } from './webhook-configurations.ts';
import {
  controllerRevisions,
  daemonSets,
  deployments,
  replicaSets,
  replicationControllers,
  statefulSets,
} from './workloads.ts';

export * from './admission-policies.ts';
export * from './autoscaling-defaults.ts';
export * from './autoscaling.ts';
export * from './batch.ts';
export * from './certificates.ts';
export * from './core.ts';
export * from './disruption-budgets.ts';
export * from './events.ts';
export * from './events-v1.ts';
export * from './flow-control-defaults.ts';
export * from './flow-control.ts';
export * from './ingress.ts';
export * from './leases.ts';
export * from './limit-ranges.ts';
export * from './network-policies.ts';
export * from './nodes.ts';
export * from './pods.ts';
export * from './priority-classes.ts';
export * from './quotas.ts';
export * from './rbac.ts';
export * from './runtime-classes.ts';
export * from './services.ts';
export * from './storage-drivers.ts';
export * from './storage.ts';
export * from './webhook-configurations.ts';
export * from './workloads.ts';

export const kubernetesResources: readonly ResourceDef[] = [
  namespaces,
  pods,
  services,
  endpoints,
  configMaps,
  secrets,
  serviceAccounts,
  events,
  eventsV1,
  nodes,
  podTemplates,
  persistentVolumes,
  persistentVolumeClaims,
  resourceQuotas,
  limitRanges,
  replicationControllers,
  deployments,
  replicaSets,
  statefulSets,
  daemonSets,
  controllerRevisions,
  jobs,
  cronJobs,
  horizontalPodAutoscalers,
  horizontalPodAutoscalersV1,
  endpointSlices,
  leases,
  roles,
  clusterRoles,
  roleBindings,
  clusterRoleBindings,
  certificateSigningRequests,
  priorityClasses,
  podDisruptionBudgets,
  storageClasses,
  runtimeClasses,
  networkPolicies,
  ingressClasses,
  ingresses,
  validatingWebhookConfigurations,
  mutatingWebhookConfigurations,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  flowSchemas,
  priorityLevelConfigurations,
  csiDrivers,
  csiNodes,
  volumeAttachments,
  csiStorageCapacities,
];
