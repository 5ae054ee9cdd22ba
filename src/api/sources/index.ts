import type { ResourceDef } from '../resource.ts';
import { pingSources } from './pingsource.ts';

/** sources.knative.dev */
export const sourcesResources: readonly ResourceDef[] = [pingSources];
