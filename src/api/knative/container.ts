/** What a revision's container and a step of a build have in common. */
import type { Schema } from '../schema.ts';
import { string, strings } from './values.ts';

/** Members of a core/v1 Container, all optional; each kind adds those that it takes besides. */
export const containerProperties = {
  name: string,
  image: string,
  imagePullPolicy: string,
  command: strings,
  args: strings,
  workingDir: string,
  env: { type: 'array', items: { $ref: 'core.v1.EnvVar' } },
  envFrom: { type: 'array', items: { $ref: 'core.v1.EnvFromSource' } },
  resources: { $ref: 'core.v1.ResourceRequirements' },
  volumeMounts: { type: 'array', items: { $ref: 'core.v1.VolumeMount' } },
  securityContext: { $ref: 'core.v1.SecurityContext' },
  terminationMessagePath: string,
  terminationMessagePolicy: string,
} as const satisfies { [name: string]: Schema };
