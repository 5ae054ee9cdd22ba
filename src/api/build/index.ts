import type { ResourceDef } from '../resource.ts';
import { builds } from './build.ts';
import { buildTemplates, clusterBuildTemplates } from './template.ts';

/** build.knative.dev */
export const buildResources: readonly ResourceDef[] = [builds, buildTemplates, clusterBuildTemplates];
