/** ConfigMap config-defaults: what a revision gets for what it does not say. */
import { boolean, integer, quantity, readFields, text, type ConfigData, type Values } from './fields.ts';

export const defaultsFields = {
  timeoutSeconds: integer('revision-timeout-seconds', 300, 'Most seconds that a request may take.', {
    min: 1,
  }),
  maxTimeoutSeconds: integer(
    'max-revision-timeout-seconds',
    600,
    'Highest timeout that a revision may ask for.',
    { min: 1 },
  ),
  responseStartTimeoutSeconds: integer(
    'revision-response-start-timeout-seconds',
    0,
    'Most seconds to the first byte of a response. 0: as the timeout of the whole request.',
    { min: 0 },
  ),
  idleTimeoutSeconds: integer(
    'revision-idle-timeout-seconds',
    0,
    'Most seconds without a byte in either direction. 0: no limit.',
    { min: 0 },
  ),
  cpuRequest: quantity('revision-cpu-request', 'CPU that each container asks for.'),
  memoryRequest: quantity('revision-memory-request', 'Memory that each container asks for.'),
  ephemeralStorageRequest: quantity(
    'revision-ephemeral-storage-request',
    'Disk that each container asks for.',
  ),
  cpuLimit: quantity('revision-cpu-limit', 'Most CPU of each container.'),
  memoryLimit: quantity('revision-memory-limit', 'Most memory of each container.'),
  ephemeralStorageLimit: quantity('revision-ephemeral-storage-limit', 'Most disk of each container.'),
  containerNameTemplate: text(
    'container-name-template',
    'user-container',
    'Name of containers that have none.',
  ),
  initContainerNameTemplate: text(
    'init-container-name-template',
    'init-container',
    'Name of init containers that have none.',
  ),
  containerConcurrency: integer('container-concurrency', 0, 'Most requests in flight per pod. 0: no limit.', {
    min: 0,
  }),
  containerConcurrencyMaxLimit: integer(
    'container-concurrency-max-limit',
    1000,
    'Highest container-concurrency that a revision may ask for.',
    { min: 1 },
  ),
  allowContainerConcurrencyZero: boolean(
    'allow-container-concurrency-zero',
    true,
    'Whether a revision may ask for no limit.',
  ),
  enableServiceLinks: text(
    'enable-service-links',
    'false',
    "Whether pods get an environment variable per service: true, false, or default for Kubernetes' choice.",
  ),
} as const;

export type DefaultsConfig = Values<typeof defaultsFields>;

export function readDefaultsConfig(data: ConfigData): DefaultsConfig {
  const values = readFields(defaultsFields, data);
  if (values.timeoutSeconds > values.maxTimeoutSeconds) {
    throw new Error(
      `revision-timeout-seconds (${values.timeoutSeconds}) cannot be greater than max-revision-timeout-seconds (${values.maxTimeoutSeconds})`,
    );
  }
  for (const [key, value] of [
    ['revision-response-start-timeout-seconds', values.responseStartTimeoutSeconds],
    ['revision-idle-timeout-seconds', values.idleTimeoutSeconds],
  ] as const) {
    if (value > values.timeoutSeconds) {
      throw new Error(
        `${key} (${value}) cannot be greater than revision-timeout-seconds (${values.timeoutSeconds})`,
      );
    }
  }
  if (values.containerConcurrency > values.containerConcurrencyMaxLimit) {
    throw new Error('container-concurrency cannot be greater than container-concurrency-max-limit');
  }
  if (!['true', 'false', 'default'].includes(values.enableServiceLinks)) {
    throw new Error('enable-service-links must be true, false or default');
  }
  return values;
}
