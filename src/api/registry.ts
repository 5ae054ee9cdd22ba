/** Every resource that Knapsack defines, by group folder. The API server serves these; CRD documents come from them. */
import { autoscalingResources } from './autoscaling/index.ts';
import { buildResources } from './build/index.ts';
import { cachingResources } from './caching/index.ts';
import { eventingResources } from './eventing/index.ts';
import { istioResources } from './istio/service-entry.ts';
import { kubernetesResources } from './kubernetes/index.ts';
import { networkingResources } from './networking/index.ts';
import type { ResourceDef } from './resource.ts';
import { servingResources } from './serving/index.ts';
import { sourcesResources } from './sources/index.ts';

/** Filled group by group: import the folder's `resources` and spread it here. */
export const resources: readonly ResourceDef[] = [
  ...kubernetesResources,
  ...servingResources,
  ...autoscalingResources,
  ...networkingResources,
  ...cachingResources,
  ...eventingResources,
  ...sourcesResources,
  ...buildResources,
  ...istioResources,
];
