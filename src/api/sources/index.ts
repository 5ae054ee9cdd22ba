import type { ResourceDef } from '../resource.ts';
import { pingSources, pingSourcesV1beta2 } from './pingsource.ts';

/** sources.knative.dev, the stored version first. */
export const sourcesResources: readonly ResourceDef[] = [pingSources, pingSourcesV1beta2];
