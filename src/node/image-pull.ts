/** Getting a container's image, with the events and words that Kubernetes users know. */
import type { Container, Pod } from '../api/pods.ts';
import { KnapsackError, messageOf } from '../base/errors.ts';
import { parseReference } from '../image/reference.ts';
import type { PullPolicy, RegistryCredentials, UnpackedImage } from './images.ts';
import { readKeyring } from './pull-secrets.ts';
import type { WorkerEnv } from './worker-env.ts';

/** A pull that takes longer is announced, ms. */
const announcePullMs = 20;

/** A start that did not happen: the reason to show in `state.waiting`. */
export class NotStarted extends Error {
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Throws {@link NotStarted} with ErrImagePull, ErrImageNeverPull or InvalidImageName. */
export async function ensureImage(
  env: WorkerEnv,
  pod: Pod,
  container: Container,
  event: (type: 'Normal' | 'Warning', reason: string, message: string) => void,
): Promise<UnpackedImage> {
  const image = container.image ?? '';
  const policy = (container.imagePullPolicy ?? 'IfNotPresent') as PullPolicy;
  const begun = env.clock.now();
  let announced = false;
  const cancel = env.clock.after(announcePullMs, () => {
    announced = true;
    event('Normal', 'Pulling', `Pulling image "${image}"`);
  });
  try {
    const credentials = await credentialsFor(env, pod, image, event);
    const unpacked = await env.images.ensure(image, credentials ? { policy, credentials } : policy);
    const took = `${((env.clock.now() - begun) / 1000).toFixed(3)}s`;
    const message = announced
      ? `Successfully pulled image "${image}" in ${took}`
      : `Container image "${image}" already present on machine`;
    event('Normal', 'Pulled', message);
    return unpacked;
  } catch (error) {
    const code = error instanceof KnapsackError ? error.code : undefined;
    if (code === 'IMAGE_NOT_FOUND' && policy === 'Never') {
      const text = `Container image "${image}" is not present with pull policy of Never`;
      event('Warning', 'ErrImageNeverPull', text);
      throw new NotStarted('ErrImageNeverPull', text);
    }
    const message = messageOf(error);
    if (code === 'IMAGE_NAME_INVALID') {
      const text = `Failed to apply default image tag "${image}": ${message}`;
      event('Warning', 'InspectFailed', text);
      throw new NotStarted('InvalidImageName', text);
    }
    event('Warning', 'Failed', `Failed to pull image "${image}": ${message}`);
    event('Warning', 'Failed', 'Error: ErrImagePull');
    throw new NotStarted('ErrImagePull', message);
  } finally {
    cancel();
  }
}

/** What the pod's pull secrets hold for the image. A secret that cannot be had is told, and the pull tried without. */
async function credentialsFor(
  env: WorkerEnv,
  pod: Pod,
  image: string,
  event: (type: 'Normal' | 'Warning', reason: string, message: string) => void,
): Promise<RegistryCredentials | undefined> {
  const names = (pod.spec?.imagePullSecrets ?? []).flatMap(({ name }) => (name ? [name] : []));
  if (names.length === 0) return undefined;
  const { keyring, missing } = await readKeyring(env.readData, pod.metadata.namespace ?? '', names);
  if (missing.length > 0) {
    const text = `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`;
    event('Warning', 'FailedToRetrieveImagePullSecret', text);
  }
  return keyring(parseReference(image));
}
