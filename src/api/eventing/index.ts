import type { ResourceDef } from '../resource.ts';
import { brokers } from './broker.ts';
import { triggers } from './trigger.ts';

/** eventing.knative.dev */
export const eventingResources: readonly ResourceDef[] = [brokers, triggers];
