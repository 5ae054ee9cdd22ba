/** Which container of a pod a request for logs or streams means. Wording of kubernetes pkg/registry/core/pod. Pure. */
import type { Pod } from '../../api/pods.ts';
import { ApiError } from '../api-error.ts';

const defaultContainerAnnotation = 'kubectl.kubernetes.io/default-container';

/** The named container, or the only one. Throws 400. */
export function chooseContainer(pod: Pod, wanted: string | undefined): string {
  const { name } = pod.metadata;
  const regular = (pod.spec?.containers ?? []).map((container) => container.name);
  const init = (pod.spec?.initContainers ?? []).map((container) => container.name);
  const ephemeral = (pod.spec?.ephemeralContainers ?? []).map((container) => container.name);
  if (wanted !== undefined) {
    if ([...regular, ...init, ...ephemeral].includes(wanted)) return wanted;
    throw new ApiError('BadRequest', `container ${wanted} is not valid for pod ${name}`);
  }
  const preferred = pod.metadata.annotations?.[defaultContainerAnnotation];
  if (preferred !== undefined && regular.includes(preferred)) return preferred;
  const [only, ...others] = regular;
  if (only !== undefined && others.length === 0) return only;
  const inits = init.length > 0 ? ` or one of the init containers: [${init.join(' ')}]` : '';
  throw new ApiError(
    'BadRequest',
    `a container name must be specified for pod ${name}, choose one of: [${regular.join(' ')}]${inits}`,
  );
}
