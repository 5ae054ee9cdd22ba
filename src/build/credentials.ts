/** Which Secrets of a ServiceAccount a build uses, and for what: volumes and arguments of the first container. Pure. */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import { InvalidBuildError } from './invalid.ts';

type Secret = KubernetesTypes['core.v1.Secret'];
type Volume = KubernetesTypes['core.v1.Volume'];
type VolumeMount = KubernetesTypes['core.v1.VolumeMount'];

const secretsDirectory = '/var/build-secrets';
const annotationPrefix = 'build.knative.dev/';

export interface BuildCredentials {
  readonly args: readonly string[];
  readonly volumes: readonly Volume[];
  readonly mounts: readonly VolumeMount[];
}

/** Secrets in the order of the ServiceAccount. Throws {@link InvalidBuildError} for an annotation that cannot work. */
export function makeCredentials(secrets: readonly Secret[]): BuildCredentials {
  const args: string[] = [];
  const volumes: Volume[] = [];
  const mounts: VolumeMount[] = [];
  for (const secret of secrets) {
    const found = argumentsFor(secret);
    if (found.length === 0) continue;
    const { name } = secret.metadata;
    const volume = `secret-volume-${name}`;
    const mountPath = `${secretsDirectory}/${name}`;
    args.push(`--secret=${name}=${mountPath}`, ...found);
    volumes.push({ name: volume, secret: { secretName: name } });
    mounts.push({ name: volume, mountPath });
  }
  return { args, volumes, mounts };
}

function argumentsFor(secret: Secret): string[] {
  const { name } = secret.metadata;
  switch (secret.type) {
    case 'kubernetes.io/basic-auth':
      return [
        ...places(secret, 'docker-').map((place) => `--basic-docker=${name}=${place}`),
        ...places(secret, 'git-').map((place) => `--basic-git=${name}=${place}`),
      ];
    case 'kubernetes.io/ssh-auth':
      return places(secret, 'git-').map((place) => `--ssh-git=${name}=${place}`);
    case 'kubernetes.io/dockerconfigjson':
      return [`--docker-json=${name}`];
    case 'kubernetes.io/dockercfg':
      return [`--docker-cfg=${name}`];
    default:
      return [];
  }
}

/** Values of the annotations `build.knative.dev/KIND*`, sorted. */
function places(secret: Secret, kind: string): string[] {
  const values = Object.entries(secret.metadata.annotations ?? {})
    .filter(([key]) => key.startsWith(annotationPrefix + kind))
    .map(([, value]) => value)
    .sort();
  if (kind === 'docker-' && values.includes('index.docker.io')) {
    throw new InvalidBuildError(
      `Secret ${secret.metadata.name}: Docker Hub is https://index.docker.io/v1/, not index.docker.io`,
      'BadSecretAnnotation',
    );
  }
  return values;
}
