/** Getting a container's image, with the events and words that Kubernetes users know. */
import type { Container } from '../api/pods.ts';
import { KnapsackError, messageOf } from '../base/errors.ts';
import type { PullPolicy, UnpackedImage } from './images.ts';
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
    const unpacked = await env.images.ensure(image, policy);
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
