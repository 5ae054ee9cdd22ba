/** The Build pillar: its controllers, and the templates that come with Knapsack. */
import type { BuildTemplate } from '../api/build/template.ts';
import type { Controller, ControllerEnv } from '../kube/controller/controller.ts';
import { buildController } from './build.ts';
import type { BuildConfig } from './config.ts';
import { nodeTemplate } from './templates/node.ts';

export { defaultBuildImages, type BuildConfig } from './config.ts';

export function buildControllers(env: ControllerEnv, config: BuildConfig): Controller[] {
  return [buildController(env, config)];
}

/** ClusterBuildTemplates to be created when Knapsack starts. */
export function shippedTemplates(): BuildTemplate[] {
  return [structuredClone(nodeTemplate)];
}
