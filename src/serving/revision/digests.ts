/** From the images that a revision names to the ones that its pods run. */
import type { Revision, RevisionContainer } from '../../api/serving/index.ts';
import { messageOf } from '../../base/errors.ts';
import type { ServingConfig } from '../../api/serving/config/index.ts';
import type { ImageResolver } from '../env.ts';

export interface ContainerDigest {
  name: string;
  /** Absent where the registry is one whose tags are used as they are. */
  imageDigest?: string;
}

export type Digests =
  | { readonly containers: ContainerDigest[]; readonly initContainers: ContainerDigest[] }
  /** The first image that could not be found, and why. */
  | { readonly missing: string; readonly message: string };

/** Resolves all images of a revision at the same time; those that its status already has are not asked for again. */
export async function resolveDigests(
  revision: Revision,
  resolver: ImageResolver,
  config: ServingConfig,
  signal: AbortSignal,
): Promise<Digests> {
  const {
    containers = [],
    initContainers = [],
    serviceAccountName,
    imagePullSecrets = [],
  } = revision.spec ?? {};
  const known = new Map<string, ContainerDigest>();
  for (const status of [
    ...(revision.status?.containerStatuses ?? []),
    ...(revision.status?.initContainerStatuses ?? []),
  ]) {
    if (status.name) known.set(status.name, { ...status, name: status.name });
  }
  const timeout = AbortSignal.timeout(config.deployment.digestResolutionTimeoutMs);
  const options = {
    namespace: revision.metadata.namespace ?? '',
    serviceAccountName: serviceAccountName || 'default',
    pullSecrets: imagePullSecrets.map(({ name }) => name ?? ''),
    signal: AbortSignal.any([signal, timeout]),
  };
  let failure: { missing: string; message: string } | undefined;
  const one = async ({ name = '', image = '' }: RevisionContainer): Promise<ContainerDigest> => {
    const before = known.get(name);
    if (before) return before;
    if (skipsResolution(image, config)) return { name };
    try {
      return { name, imageDigest: await resolver.resolve(image, options) };
    } catch (error) {
      if (signal.aborted) throw error;
      const message = timeout.aborted ? 'timed out resolving image to digest' : messageOf(error);
      failure ??= { missing: image, message };
      return { name };
    }
  };
  const [mine, init] = await Promise.all([
    Promise.all(containers.map(one)),
    Promise.all(initContainers.map(one)),
  ]);
  return failure ?? { containers: mine, initContainers: init };
}

function skipsResolution(image: string, config: ServingConfig): boolean {
  const registry = image.includes('/') ? (image.split('/')[0] ?? '') : '';
  return config.deployment.registriesSkippingTagResolving.includes(registry);
}
