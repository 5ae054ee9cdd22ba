/** Every resource that Knapsack defines, by group folder. The API server serves these; CRD documents come from them. */
import { kubernetesResources } from './kubernetes/index.ts';
import type { ResourceDef } from './resource.ts';

/** Filled group by group: import the folder's `resources` and spread it here. */
export const resources: readonly ResourceDef[] = [...kubernetesResources];
