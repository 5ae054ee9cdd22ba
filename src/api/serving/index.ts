/** The group serving.knative.dev. */
import type { ResourceDef } from '../resource.ts';
import { configurations } from './configuration.ts';
import { revisions } from './revision.ts';
import { routes } from './route.ts';
import { knativeServices } from './service.ts';

export { configurations, type Configuration } from './configuration.ts';
export { revisions, type Revision } from './revision.ts';
export { routes, type Route } from './route.ts';
export { knativeServices, type KnativeService } from './service.ts';
export type { RevisionContainer, RevisionSpec, RevisionTemplate, TrafficTarget } from './pod-spec.ts';

export const servingResources: readonly ResourceDef[] = [knativeServices, configurations, revisions, routes];
